"""Many requests in one body, a line each: run together, each answered as it is done."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

import structlog

from adapters.access.client import ClientGone
from adapters.errors import GatewayError
from adapters.zephyr.answer import Answer

_log = structlog.get_logger(__name__)

AnswerLine = Callable[[bytes], Awaitable[Answer]]


async def results(lines: list[bytes], answer: AnswerLine, at_once: int) -> AsyncGenerator[bytes, None]:
    """One line for each, in the order in which they are done: its `index`, and the answer or the error."""
    waiting = enumerate(lines)
    done: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=at_once)  # a slow reader holds the work back
    workers = [asyncio.create_task(_work(waiting, answer, done)) for _ in range(min(at_once, len(lines)))]
    try:
        for _ in workers:
            while (result := await done.get()) is not None:
                yield result
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def _work(
    waiting: Iterator[tuple[int, bytes]], answer: AnswerLine, done: asyncio.Queue[bytes | None]
) -> None:
    for index, line in waiting:
        try:
            result = (await answer(line)).json_object()
        except ClientGone:
            break
        except GatewayError as error:
            result = error.body()
        except Exception as error:  # noqa: BLE001  # one line's crash stops no other
            # Only the class: an error's text may quote what a client said.
            _log.error("a line crashed", event_key="crash", error=type(error).__name__)
            result = GatewayError("Something went wrong in the gateway.").body()
        await done.put(b'{"index":%d,' % index + result[1:] + b"\n")
    await done.put(None)
