"""Answers that are sent piece by piece."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from pydantic_core import to_json

from adapters.access.client import ClientGone
from adapters.completions.events import DONE
from adapters.errors import GatewayError
from adapters.zephyr.streamed import Streamed


async def events_of(streamed: Streamed) -> AsyncGenerator[bytes, None]:
    """`{"delta": …}` events, then one with the whole answer, then the end mark; an error event takes the place of
    the last two.

    Raises:
        GatewayError: before the first event, so that this can still be the status of the response.
    """
    begun = False
    try:
        async with aclosing(streamed.deltas()) as deltas:
            async for text in deltas:
                begun = True
                yield _event(text)
        yield b"data: " + streamed.answer.json_object() + b"\n\n" + DONE
    except GatewayError as error:
        if not begun:
            raise
        if not isinstance(error, ClientGone):
            yield error.event()


def _event(text: str) -> bytes:
    return b"data: " + to_json({"delta": text}) + b"\n\n"
