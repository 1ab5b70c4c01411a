"""Answers that are sent piece by piece."""

from collections.abc import AsyncGenerator

from fastapi.responses import StreamingResponse
from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

from adapters.access.client import ClientGone
from adapters.completions.events import DONE
from adapters.errors import GatewayError
from adapters.zephyr.streamed import Streamed


class Pieces(StreamingResponse):
    """Sends what a generator makes, and closes it. Its parent would wait for the client's leaving a second time."""

    def __init__(self, pieces: AsyncGenerator[bytes, None], media_type: str) -> None:
        # nginx would hold the pieces back.
        super().__init__(
            pieces, media_type=media_type, headers={"cache-control": "no-cache", "x-accel-buffering": "no"}
        )
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them."""
        try:
            await self.stream_response(send)
        finally:
            await self._pieces.aclose()


async def begin_events(streamed: Streamed) -> AsyncGenerator[bytes, None]:
    """The server-sent events of an answer, once it has begun.

    Raises:
        GatewayError: it did not begin, so that this can still be the status of the response.
    """
    deltas = streamed.deltas()
    first = await anext(deltas, "")
    return _events(first, deltas, streamed)


async def _events(
    first: str, deltas: AsyncGenerator[str, None], streamed: Streamed
) -> AsyncGenerator[bytes, None]:
    """`{"delta": …}` events, then one with the whole answer, then the end mark; an error event takes the place of
    the last two."""
    try:
        if first:
            yield _event(first)
        async for text in deltas:
            yield _event(text)
        yield b"data: " + streamed.answer.json_object() + b"\n\n" + DONE
    except ClientGone:
        return
    except GatewayError as error:
        yield error.event()
    finally:
        await deltas.aclose()


def _event(text: str) -> bytes:
    return b"data: " + to_json({"delta": text}) + b"\n\n"
