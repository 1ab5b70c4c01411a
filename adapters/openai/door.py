"""`POST /v1/chat/completions` and `/v1/completions`, taken in front of the framework.

These two are on the path of every token. As raw ASGI they cost the gateway some 140 µs a request against 370 µs
as routes of the framework (docs/decisions/0004); everything else is a route.
"""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec
from starlette.types import Receive, Scope, Send

from adapters.access.body import check_content_type, read_body
from adapters.access.callers import Caller, KeyScope, permitted
from adapters.access.client import Client, ClientGone
from adapters.access.gate import answer_headers, request_id
from adapters.access.pieces import waiting_comment
from adapters.access.reading import read
from adapters.completions.generation import Generation
from adapters.completions.relay import Completions
from adapters.completions.requests import ChatRequest, CompletionRequest, check_bounds
from adapters.completions.threads import follow
from adapters.errors import GatewayError
from adapters.settings import Settings

_R = TypeVar("_R", ChatRequest, CompletionRequest)
_JSON = [(b"content-type", b"application/json")]
_EVENTS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would hold the tokens back
]
_NOTHING = msgspec.Raw(b"")
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


def _verbatim(request_type: type[ChatRequest] | type[CompletionRequest]) -> type[Any]:
    """A request whose members stay as they stand in the body, byte for byte, for the log."""
    others = [name for name in request_type.__struct_fields__ if name != "messages"]
    members = [("messages", list[msgspec.Raw], []), *((name, msgspec.Raw, _NOTHING) for name in others)]
    return msgspec.defstruct("Verbatim", members, omit_defaults=True)


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
        self._verbatim = msgspec.json.Decoder(_verbatim(request_type))
        self._completions = completions
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; errors before the first byte are raised."""
        if scope["method"] != "POST":
            raise MethodNotAllowed(["POST", *self.beside])
        caller = permitted(scope, KeyScope.GENERATE)
        check_content_type(scope)
        body = await read_body(receive, self._settings.server)
        request = read(self._decoder, body)
        check_bounds(request, self._settings.request)
        generation = self._generation(caller, request_id(scope), body, request)
        client = Client(receive, answer_headers(scope))
        if request.stream:
            await self._stream(generation, client, send)
        else:
            completion = await self._completions.complete(generation, client)
            length = (b"content-length", str(len(completion.body)).encode())
            headers = [*_JSON, length, client.timing("total")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": completion.body})

    async def _stream(self, generation: Generation, client: Client, send: Send) -> None:
        options = generation.request.stream_options
        usage = bool(options and options.include_usage)
        sending = _Sending(send)
        client.tell_place = sending.tell_place
        try:
            stream = await self._completions.stream(generation, client, usage=usage)
        except GatewayError as error:
            await sending.fail(error)
            return
        try:
            await sending.begin(client.timing("first"))
            async for piece in stream:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            await stream.close()

    def _generation(self, caller: Caller, id: UUID, body: bytes, request: _R) -> Generation:
        verbatim = self._verbatim.decode(body)
        if isinstance(request, ChatRequest):
            followed = follow(caller.tenant, request.messages)
            new, repeated = verbatim.messages[followed.repeated :], verbatim.messages[: followed.repeated]
            input, earlier = _array(new), _array(repeated) if repeated else None
            verbatim.messages = []
        else:
            followed, input, earlier = None, bytes(verbatim.prompt), None
            verbatim.prompt = _NOTHING
        verbatim.metadata = _NOTHING
        return Generation(
            id=id,
            caller=caller,
            door="openai",
            endpoint=self.path,
            path=self.path,
            request=request,
            may_hold_markers=self._completions.markers.may_be_in(body),
            input=input,
            earlier=earlier,
            followed=followed,
            parameters=_encoder.encode(verbatim),
            metadata=_encoder.encode(request.metadata) if request.metadata else b"{}",
        )


class _Sending:
    """The head of a stream, which goes out with the first event, or earlier to a client that waits for its turn."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = False

    async def begin(self, *headers: tuple[bytes, bytes]) -> None:
        """Send the head, if it has not gone out yet."""
        if not self._begun:
            self._begun = True
            await self._send({"type": "http.response.start", "status": 200, "headers": [*_EVENTS, *headers]})

    async def tell_place(self, place: int) -> None:
        """Tell the client which place it has in the queue, in a comment, which no client takes for an event."""
        await self.begin()
        await self._send({"type": "http.response.body", "body": waiting_comment(place), "more_body": True})

    async def fail(self, error: GatewayError) -> None:
        """Tell the client of an error: raised, as its status, or in the stream if that has begun."""
        if not self._begun:
            raise error
        if not isinstance(error, ClientGone):
            await self._send({"type": "http.response.body", "body": error.event()})


def _array(texts: Sequence[msgspec.Raw]) -> bytes:
    return b"[" + b",".join(map(bytes, texts)) + b"]"
