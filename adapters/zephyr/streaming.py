"""Answers that are sent piece by piece."""

from collections.abc import AsyncGenerator

from pydantic_core import to_json

from adapters.access.client import ClientGone
from adapters.completions.events import DONE
from adapters.errors import GatewayError
from adapters.zephyr.streamed import Streamed


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
