"""Answers that are sent piece by piece."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from adapters.access.client import Client, ClientGone
from adapters.errors import GatewayError

EVENTS = "text/event-stream"


def waiting_comment(place: int) -> bytes:
    """What a stream that waits for its turn is told: a comment, which no reader of events takes for one."""
    return b": queued, place %d\n\n" % place


class Pieces(StreamingResponse):
    """Sends what a generator makes, and closes it. Its parent would wait for the client's leaving a second time."""

    def __init__(
        self,
        pieces: AsyncGenerator[bytes, None],
        media_type: str,
        *,
        begun_with: bytes = b"",
        client: Client | None = None,
    ) -> None:
        """`begun_with` goes first: what a generator has made already. `client` is told how long that took."""
        super().__init__(
            _joined(begun_with, pieces) if begun_with else pieces,
            media_type=media_type,
            # nginx would hold the pieces back.
            headers={"cache-control": "no-cache", "x-accel-buffering": "no"},
        )
        self._pieces = pieces
        if client is not None:
            self.raw_headers.append(client.timing("first"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them."""
        try:
            await self.stream_response(send)
        finally:
            await self._pieces.aclose()


async def begin(
    pieces: AsyncGenerator[bytes, None], client: Client, event_of: Callable[[GatewayError], bytes]
) -> Pieces:
    """Server-sent events, once the first is there, so that what goes wrong before is the status of the response.

    A client that waits for its turn is told its place before that, in comments; `event_of` then makes an error an event.

    Raises:
        GatewayError: nothing came of it.
    """
    waiting = _Waiting(pieces)
    client.tell_place = waiting.tell
    try:
        if await waiting.begun():
            return Pieces(pieces, EVENTS, begun_with=waiting.first.result(), client=client)
    except BaseException:
        await waiting.end()
        raise
    return Pieces(waiting.told(event_of), EVENTS)


class _Waiting:
    """The first piece on its way, and the place that its client has meanwhile."""

    def __init__(self, pieces: AsyncGenerator[bytes, None]) -> None:
        self._pieces = pieces
        self._place = 0
        self._news = asyncio.Event()
        self.first = asyncio.ensure_future(anext(pieces, b""))
        self.first.add_done_callback(lambda _: self._news.set())

    async def tell(self, place: int) -> None:
        """Take note of the place."""
        self._place = place
        self._news.set()

    async def begun(self) -> bool:
        """Wait for the first piece, or for a place to be told."""
        await self._news.wait()
        self._news.clear()
        return self.first.done()

    async def told(self, event_of: Callable[[GatewayError], bytes]) -> AsyncGenerator[bytes, None]:
        """The places, then the pieces."""
        try:
            while not self.first.done():
                yield waiting_comment(self._place)
                await self.begun()
            try:
                yield self.first.result()
            except ClientGone:
                return
            except GatewayError as error:
                yield event_of(error)
                return
            async for piece in self._pieces:
                yield piece
        finally:
            await self.end()

    async def end(self) -> None:
        """End the work, wherever it is."""
        self.first.cancel()
        with suppress(asyncio.CancelledError, GatewayError, StopAsyncIteration):
            await self.first
        await self._pieces.aclose()


async def _joined(first: bytes, pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    yield first
    async for piece in pieces:
        yield piece
