"""What the engine can do wrong, and how its own refusals read in OpenAI's terms.

The table of vLLM's errors was read off vLLM 0.32 (`vllm/entrypoints/openai/`); its messages are passed on
only for a caller's own mistake (400), and then without addresses and paths.
"""

import re

import msgspec

from adapters.errors import GatewayError, InvalidRequest, NotFound


class EngineUnavailable(GatewayError):
    """The engine cannot be reached now; try again shortly."""

    status = 503
    code = "engine_unavailable"
    retry_after = 5


class EngineLoading(EngineUnavailable):
    """The engine is still loading its model; try again shortly."""

    code = "engine_loading"
    retry_after = 10


class EngineHangs(EngineUnavailable):
    """The engine does not work at the moment; try again shortly."""


class EngineBroke(GatewayError):
    """The engine broke off before the answer was complete."""

    status = 503
    code = "engine_failed"
    retry_after = 1


class EngineTimeout(GatewayError):
    """The engine gave no answer in time."""

    status = 504
    code = "engine_timeout"


class EngineOverloaded(GatewayError):
    """The engine's queue is full; try again in a moment."""

    status = 503
    code = "overloaded"
    retry_after = 2


class ModelNotFound(NotFound):
    """This model is not served here; GET /v1/models lists what is."""

    code = "model_not_found"


class ContextTooLong(InvalidRequest):
    """The prompt is longer than the model's context."""

    code = "context_length_exceeded"


class Unsupported(InvalidRequest):
    """The engine does not support this."""

    code = "unsupported_parameter"


class _ErrorDetail(msgspec.Struct):
    message: str = ""
    type: str | None = None
    param: str | None = None
    code: int | str | None = None


class _ErrorBody(msgspec.Struct):
    error: _ErrorDetail


_decoder = msgspec.json.Decoder(_ErrorBody)
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{4,}")
_PATH = re.compile(r"(?<![\w<.:/-])/(?:[\w.@+-]+/)+[\w.@+-]*")
_URL = re.compile(r"\b[a-z]+://[^\s/]*(?::\d|\d\.\d)\S*")  # with a port or an IP address: of the inside
_FIELD = re.compile(r"^[a-z_][a-z0-9_.\[\]]{0,63}$(?!\n)")
_SUFFIX = re.compile(r"\s*\(parameter=.*\)\s*$", re.DOTALL)
_LONGEST_MESSAGE = 500
_TOO_LONG_PARAMS = {"input_tokens", "input_text"}


def refusal(status: int, body: bytes) -> GatewayError:
    """The error to tell the client when the engine answered with this status and body."""
    detail = _detail(body)
    if status in (400, 422):
        return _invalid(detail)
    if status == 404:
        return ModelNotFound(param="model")
    if status == 501:
        return Unsupported(_safe(detail.message) or None, param=_param(detail.param))
    if status == 503 and not detail.message:  # not vLLM's own words: a router has no engine left
        return EngineUnavailable()
    if status in (429, 503) and "engine" not in (detail.type or "").lower():
        return EngineOverloaded()
    return EngineBroke()


def refusal_in_stream(payload: bytes) -> GatewayError:
    """The same for an error event inside a stream, which carries the status in its `code`."""
    code = _detail(payload).code
    return refusal(code if isinstance(code, int) else 500, payload)


def _detail(body: bytes) -> _ErrorDetail:
    try:
        return _decoder.decode(body).error
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return _ErrorDetail()


def _invalid(detail: _ErrorDetail) -> InvalidRequest:
    message = _safe(detail.message) or None
    if detail.param in _TOO_LONG_PARAMS or "maximum context length" in detail.message:
        return ContextTooLong(message, param="messages")
    return InvalidRequest(message, param=_param(detail.param))


def _param(param: str | None) -> str | None:
    field = (param or "").removeprefix("body.")
    return field if _FIELD.match(field) else None


def _safe(message: str) -> str:
    """The engine's message without what it may give away of its inside."""
    message = _SUFFIX.sub("", message)
    message = _URL.sub("<address>", _ADDRESS.sub("<address>", message))
    return _PATH.sub("<path>", message)[:_LONGEST_MESSAGE]
