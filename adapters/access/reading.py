"""Reading a request's JSON, and saying which field is wrong in terms a client understands."""

import re
from typing import TypeVar

import msgspec

from adapters.errors import InvalidRequest

_Body = TypeVar("_Body")
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<field>[^`]*)`")
_MISSING = re.compile(r"^Object missing required field `(?P<field>[^`]*)`")
_AT = re.compile(r"^(?P<what>.*) - at (?:`key` in )?`\$\.?(?P<path>.*)`$", re.DOTALL)


def read(decoder: "msgspec.json.Decoder[_Body]", body: bytes, place: str = "") -> _Body:
    """Decode a request body, or a part of one that stands at `place`.

    Raises:
        InvalidRequest: it is not JSON, or not of the decoder's type; `param` names the field.
    """
    try:
        body.decode()  # msgspec does not look into the texts of members that it skips
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _invalid(str(error), place) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest("The request body is not valid JSON.", code="invalid_json") from error
    except RecursionError as error:
        raise InvalidRequest("The request body is nested too deeply.", code="invalid_json") from error


def _invalid(complaint: str, place: str) -> InvalidRequest:
    found = _AT.match(complaint)
    what, path = (found["what"], found["path"]) if found else (complaint, "")
    path = _join(place, path) if path else place
    if unknown := _UNKNOWN.match(what):
        field = _join(path, unknown["field"])
        return InvalidRequest(
            f"This server does not take the parameter '{field}'.", param=field, code="unknown_parameter"
        )
    if missing := _MISSING.match(what):
        field = _join(path, missing["field"])
        return InvalidRequest(f"The parameter '{field}' is missing.", param=field, code="missing_parameter")
    where = f" for '{path}'" if path else ""
    return InvalidRequest(f"Invalid value{where}: {what}.", param=path or None, code="invalid_value")


def _join(path: str, field: str) -> str:
    if field.startswith("["):
        return path + field
    return f"{path}.{field}" if path else field
