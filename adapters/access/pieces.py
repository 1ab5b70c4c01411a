"""Answers that are sent piece by piece."""

from collections.abc import AsyncGenerator

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class Pieces(StreamingResponse):
    """Sends what a generator makes, and closes it. Its parent would wait for the client's leaving a second time."""

    def __init__(
        self, pieces: AsyncGenerator[bytes, None], media_type: str, *, begun_with: bytes = b""
    ) -> None:
        """`begun_with` goes first: what a generator has made already that was begun before the status line."""
        # nginx would hold the pieces back.
        super().__init__(
            _joined(begun_with, pieces) if begun_with else pieces,
            media_type=media_type,
            headers={"cache-control": "no-cache", "x-accel-buffering": "no"},
        )
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them."""
        try:
            await self.stream_response(send)
        finally:
            await self._pieces.aclose()


async def _joined(first: bytes, pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    yield first
    async for piece in pieces:
        yield piece
