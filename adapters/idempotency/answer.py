"""A whole answer, and how one tells that an answer is whole."""

from collections.abc import Iterable
from enum import Enum, auto

import msgspec

Headers = list[tuple[bytes, bytes]]

_DONE = b"data: [DONE]\n\n"
_PASSING = ("server_error", "rate_limit_error", "requests", "tokens", "insufficient_quota")
"""Types of errors that another try may not meet: of the server, and of limits."""
_LAST_EVENTS = (b"event: response.completed", b"event: response.incomplete")  # of the Responses API


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """An answer with status 200, as it is kept."""

    headers: Headers
    body: bytes


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Answer)


def encode(answer: Answer) -> bytes:
    """An answer for the table."""
    return _encoder.encode(answer)


def decode(content: bytes) -> Answer:
    """An answer from the table."""
    return _decoder.decode(content)


class Form(Enum):
    """How an answer comes, which decides where its end is."""

    PLAIN = auto()
    """One body."""
    EVENTS = auto()
    """Server-sent events, of which the last one says that it is."""
    LINES = auto()
    """A line for each of many requests."""


def form_of(headers: Iterable[tuple[bytes, bytes]]) -> Form:
    """The form of an answer with these headers."""
    for name, value in headers:
        if name.lower() == b"content-type":
            media_type = value.partition(b";")[0].strip()
            return {b"text/event-stream": Form.EVENTS, b"application/x-ndjson": Form.LINES}.get(
                media_type, Form.PLAIN
            )
    return Form.PLAIN


def is_last(form: Form, piece: bytes, *, more: bool) -> bool:
    """Whether this piece completes the answer. A stream of events that merely ends is broken."""
    if form is Form.EVENTS:
        return piece.endswith(_DONE) or _last_event(piece) in _LAST_EVENTS
    return not more


def is_worth_keeping(form: Form, body: bytes) -> bool:
    """Whether another try would bring nothing better: no line failed by the server, or by a limit."""
    return form is not Form.LINES or not any(map(_failed, body.splitlines()))


class _Error(msgspec.Struct):
    type: str | None = None


class _Line(msgspec.Struct):
    error: _Error | None = None


_line_decoder = msgspec.json.Decoder(_Line)


def _failed(line: bytes) -> bool:
    error = _line_decoder.decode(line).error
    return error is not None and error.type in _PASSING


def _last_event(piece: bytes) -> bytes:
    """The first line of the last event in a piece of whole events, which names it."""
    return piece.rstrip(b"\n").rpartition(b"\n\n")[2].partition(b"\n")[0]
