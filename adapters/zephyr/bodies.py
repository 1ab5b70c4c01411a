"""Reading a request's body: one JSON object, or one on each line."""

from typing import Literal

from pydantic_core import from_json

from adapters.errors import InvalidRequest, UnsupportedMediaType

_JSON = {"", "application/json"}  # the original's demo names no type at all
_LINES = {"application/x-ndjson", "application/jsonl"}


def kind(content_type: str | None) -> Literal["json", "lines"]:
    """What the body is. A page of another site may send `text/plain` and forms without asking: not taken.

    Raises:
        UnsupportedMediaType: neither of the two.
    """
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if media_type in _JSON:
        return "json"
    if media_type in _LINES:
        return "lines"
    raise UnsupportedMediaType(
        "Send the body as application/json, or as application/x-ndjson with one request a line."
    )


def parse(body: bytes) -> object:
    """The JSON value of a body, or of one line of it.

    Raises:
        InvalidRequest: it is not JSON.
    """
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidRequest(f"This is not valid JSON: {error}.") from None


def lines(body: bytes, most: int) -> list[bytes]:
    """The lines of a body that are not blank.

    Raises:
        InvalidRequest: there are none, or more than `most`.
    """
    found = [line for line in body.split(b"\n") if line.strip()]
    if not 1 <= len(found) <= most:
        raise InvalidRequest(f"Send 1 to {most} lines, not {len(found)}.")
    return found
