"""An endpoint is a file: what it is called, what it takes, what the model is told, what is done with the answer."""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from pydantic import BaseModel

from adapters.settings import BadSettings, ZephyrSettings
from adapters.zephyr.prompts import placeholders

_COMMON_FIELDS = ("max_new_tokens", "do_sample", "temperature", "top_k", "top_p", "stream", "conversation")
_SHIPPED = Path(__file__).parent / "endpoints"

Name = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]*$", max_length=64)]
Text = Annotated[str, msgspec.Meta(min_length=1)]


class _FilePart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of an endpoint's file: a misspelt key is refused."""


class Wording(_FilePart, frozen=True, kw_only=True):
    """What a template says for a field that is true or false."""

    true: str
    false: str


class Field(_FilePart, frozen=True, kw_only=True):
    """One field of the request."""

    type: Literal["string", "integer", "number", "boolean"] = "string"
    description: Text
    default: str | int | float | bool | None = None
    """What holds where the request has no value, or null; a field without a default is required."""
    minimum: float | None = None
    maximum: float | None = None
    says: Wording | None = None
    in_query: bool = False
    """Whether the field may also come as a query parameter."""


class Section(_FilePart, frozen=True, kw_only=True):
    """One section of a structured document."""

    heading: Text
    question: Text
    """What the model is asked to write under the heading."""


class Endpoint(_FilePart, frozen=True, kw_only=True):
    """One endpoint, as its file describes it."""

    path: Annotated[str, msgspec.Meta(pattern=r"^/zephyr/[a-z0-9]+([-/][a-z0-9]+)*$", max_length=128)]
    summary: Text
    description: Text
    system: Text
    user: Text
    fields: dict[Name, Field]
    answer: Literal["text", "transcript", "sections"] = "text"
    """`text` is the model's answer; `transcript` what it saw and wrote, its markers included; `sections` a document
    with the headings below."""
    sections: Annotated[tuple[Section, ...], msgspec.Meta(max_length=16)] = ()
    format_with_black: Name | None = None
    """The field whose Python code black formats, unless a field `language` says that it is not Python."""
    example: dict[str, str | int | float | bool]


def load(settings: ZephyrSettings) -> tuple[Endpoint, ...]:
    """Read the shipped endpoint files, and those of the folder that the settings name.

    Raises:
        BadSettings: naming the file and the key that cannot be used.
    """
    folders = [_SHIPPED] if settings.endpoints_dir is None else [_SHIPPED, settings.endpoints_dir]
    endpoints = {file: read(file) for folder in folders for file in _files(folder)}
    _refuse_twice(endpoints.items())
    return tuple(endpoints.values())


def read(file: Path) -> Endpoint:
    """Read one endpoint file.

    Raises:
        BadSettings: naming the file and the key that cannot be used.
    """
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
        endpoint = msgspec.convert(content, Endpoint)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BadSettings(f"{file}: {error}") from error
    for problem in _problems(endpoint):
        raise BadSettings(f"{file}: {problem}")
    return endpoint


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise BadSettings(f"ZEPHYR_ENDPOINTS_DIR: {folder} is not a folder")
    return sorted(folder.glob("*.toml"))


def _refuse_twice(endpoints: Iterable[tuple[Path, Endpoint]]) -> None:
    seen: dict[str, Path] = {}
    for file, endpoint in endpoints:
        if endpoint.path in seen:
            raise BadSettings(f"{file}: path: {endpoint.path} is already described by {seen[endpoint.path]}")
        seen[endpoint.path] = file


def _problems(endpoint: Endpoint) -> Iterable[str]:
    for key in ("system", "user"):
        for name in sorted(placeholders(getattr(endpoint, key)) - set(endpoint.fields)):
            yield f"{key}: there is no field {{{name}}}"
    for name, field in endpoint.fields.items():
        yield from (f"fields.{name}: {problem}" for problem in _field_problems(name, field))
    if (endpoint.answer == "sections") != bool(endpoint.sections):
        yield 'sections: an endpoint has sections if, and only if, its answer is "sections"'
    if len({section.heading.casefold() for section in endpoint.sections}) < len(endpoint.sections):
        yield "sections: two of them have the same heading"
    code = endpoint.format_with_black
    if code is not None and (code not in endpoint.fields or endpoint.fields[code].type != "string"):
        yield f"format_with_black: there is no text field {code}"


def _field_problems(name: str, field: Field) -> Iterable[str]:
    if name in _COMMON_FIELDS or hasattr(BaseModel, name):
        yield "this name is taken"
    if field.default is not None and type(field.default) not in _TYPES[field.type]:
        yield f"default: not of type {field.type}"
    if (field.minimum is not None or field.maximum is not None) and field.type not in ("integer", "number"):
        yield "minimum and maximum are for numbers"
    if (field.says is not None) != (field.type == "boolean"):
        yield "says: a boolean field, and no other, says what true and false mean to the model"


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
