"""`POST /v1/chat/completions` and `/v1/completions`, taken in front of the framework.

These two are on the path of every token. As raw ASGI they cost the gateway some 140 µs a request against 370 µs
as routes of the framework (docs/decisions/0004); everything else is a route.
"""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec
from starlette.types import Receive, Scope, Send

from adapters.access.body import read_body
from adapters.access.callers import LOCAL
from adapters.access.client import Client
from adapters.access.gate import request_id
from adapters.completions.generation import Generation
from adapters.completions.reading import read
from adapters.completions.relay import Completions
from adapters.completions.requests import ChatRequest, CompletionRequest, check_bounds
from adapters.completions.threads import follow
from adapters.errors import GatewayError, UnsupportedMediaType
from adapters.settings import Settings

_R = TypeVar("_R", ChatRequest, CompletionRequest)
_JSON = [(b"content-type", b"application/json")]
_EVENTS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would hold the tokens back
]
_NOT_PARAMETERS = {"messages", "prompt", "metadata"}
_encoder = msgspec.json.Encoder()


class MethodNotAllowed(GatewayError):
    """This address takes other methods."""

    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"

    def __init__(self, allowed: Sequence[str]) -> None:
        self._allowed = ", ".join(allowed)
        super().__init__(f"This address takes {self._allowed}.")

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What the address takes."""
        return [(b"allow", self._allowed.encode())]


class _Verbatim(msgspec.Struct):
    """The texts of a request as they stand in its body, byte for byte, for the log."""

    messages: list[msgspec.Raw] = []
    prompt: msgspec.Raw = msgspec.Raw(b"")


class GenerationDoor(Generic[_R]):
    """One endpoint of OpenAI's API that generates."""

    def __init__(
        self,
        path: str,
        request_type: type[_R],
        completions: Completions,
        settings: Settings,
        *,
        beside: tuple[str, ...] = (),
    ) -> None:
        """`beside` are the methods that the framework takes at the same address."""
        self.path = path
        self.beside = beside
        self.request_type: type[_R] = request_type
        self._decoder: msgspec.json.Decoder[_R] = msgspec.json.Decoder(request_type)
        self._verbatim = msgspec.json.Decoder(_Verbatim)
        self._completions = completions
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; errors before the first byte are raised."""
        if scope["method"] != "POST":
            raise MethodNotAllowed(["POST", *self.beside])
        check_content_type(scope)
        body = await read_body(receive, self._settings.server)
        request = read(self._decoder, body)
        check_bounds(request, self._settings.request)
        generation = self._generation(scope, body, request)
        if request.stream:
            await self._stream(generation, Client(receive), send)
        else:
            completion = await self._completions.complete(generation, Client(receive))
            length = (b"content-length", str(len(completion.body)).encode())
            await send({"type": "http.response.start", "status": 200, "headers": [*_JSON, length]})
            await send({"type": "http.response.body", "body": completion.body})

    async def _stream(self, generation: Generation, client: Client, send: Send) -> None:
        options = generation.request.stream_options
        usage = bool(options and options.include_usage)
        stream = await self._completions.stream(generation, client, usage=usage)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": list(_EVENTS)})
            async for piece in stream:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            await stream.close()

    def _generation(self, scope: Scope, body: bytes, request: _R) -> Generation:
        verbatim = self._verbatim.decode(body)
        followed = follow(LOCAL, request.messages) if isinstance(request, ChatRequest) else None
        repeated = followed.repeated if followed else 0
        return Generation(
            id=request_id(scope),
            caller=LOCAL,
            door="openai",
            endpoint=self.path,
            path=self.path,
            request=request,
            may_hold_markers=self._completions.markers.may_be_in(body),
            input=_array(verbatim.messages[repeated:]) if followed else bytes(verbatim.prompt),
            earlier=_array(verbatim.messages[:repeated]) if repeated else None,
            followed=followed,
            parameters=_parameters(request),
            metadata=_encoder.encode(request.metadata or {}),
        )


def _array(texts: Sequence[msgspec.Raw]) -> bytes:
    return b"[" + b",".join(map(bytes, texts)) + b"]"


def _parameters(request: ChatRequest | CompletionRequest) -> bytes:
    fields: dict[str, Any] = msgspec.structs.asdict(request)
    asked = {
        name: value for name, value in fields.items() if value is not None and name not in _NOT_PARAMETERS
    }
    return _encoder.encode(asked)


def check_content_type(scope: Scope) -> None:
    """Refuse a body that does not say it is JSON.

    Raises:
        UnsupportedMediaType: it says it is something else, or nothing.
    """
    for name, value in scope["headers"]:
        if name == b"content-type":
            if value.partition(b";")[0].strip().lower() == b"application/json":
                return
            break
    raise UnsupportedMediaType(param="content-type")
