"""The writer: makes exchanges durable, many in one commit, and tells each one's owner when it is.

One task writes. The next batch starts when the last one is done, so commits grow with the load by themselves and a
lone exchange waits for nothing. A batch that did not come through is tried again on a new connection until each of
its exchanges is past its deadline; ids are ours and conflicts do nothing, so trying again is harmless.
"""

import asyncio
import time
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

import structlog

from adapters.conversations.errors import ExchangeRefused, LogUnavailable, NotRecorded
from adapters.conversations.exchange import Exchange
from adapters.conversations.repository import insert_statement, row
from adapters.database.link import DatabaseAway, Link, RefusedData
from adapters.database.session import Connection
from adapters.errors import GatewayError
from adapters.settings import LogSettings

_log = structlog.get_logger(__name__)
_PULSE = "SELECT FROM exchanges LIMIT 0"  # fails also where the table is missing
_PULSE_SECONDS = 1.0
_START_SECONDS = 1.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


@dataclass(slots=True)
class _Waiting:
    row: list[object]
    durable: asyncio.Future[None]
    deadline: float
    """In `time.monotonic()`."""


class ExchangeWriter:
    """Writes exchanges: `require_ready` before generating, `commit` before telling the client that it is complete."""

    def __init__(self, settings: LogSettings) -> None:
        self._settings = settings
        self._insert = insert_statement()
        self._queue: deque[_Waiting] = deque()  # settled from the left: oldest first, deadlines ascending
        self._task: asyncio.Task[None] | None = None
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._looked = asyncio.Event()
        self.link = Link(settings)
        """The connection, for its `up`, `last_error` and `away_since`."""
        self.committed = 0
        """Exchanges that are durable."""
        self.failed = 0
        """Exchanges that were not made durable, and whose owners were told so."""

    @property
    def waiting(self) -> int:
        """Exchanges that are neither durable nor failed yet."""
        return len(self._queue)

    @property
    def alive(self) -> bool:
        """Whether the writer's task is running."""
        return self._task is not None and not self._task.done()

    async def start(self) -> None:
        """Start writing. Returns when the database has answered, or after a second without it."""
        self._idle.set()
        self._task = asyncio.create_task(self._write_for_ever(), name="exchange writer")
        self._task.add_done_callback(self._died)
        await _within(_START_SECONDS, self._looked)

    def require_ready(self) -> None:
        """Return only if an exchange could be written now.

        Raises:
            LogUnavailable: the database is away, or the queue is full, or the writer has ended.
        """
        if not (self.alive and self.link.up and len(self._queue) < self._settings.log_queue_limit):
            raise LogUnavailable

    def commit(self, exchange: Exchange) -> asyncio.Future[None]:
        """Write an exchange; the future's result comes when it is on disk.

        It is taken whatever `require_ready` says, because it was generated already: the queue's bound is its limit
        and the generations open at once. An owner that stops waiting does not stop the writing.

        Raises:
            NotRecorded: the writer has ended; from the future: it was not durable before its deadline.
            ExchangeRefused: it holds what PostgreSQL does not take; also from the future.
        """
        if not self.alive:
            raise NotRecorded
        try:
            values = row(exchange)
        except ExchangeRefused:
            self.failed += 1
            _log.error("an exchange was refused", event_key="exchange_refused", id=str(exchange.id))
            raise
        durable = asyncio.get_running_loop().create_future()
        deadline = time.monotonic() + self._settings.log_commit_deadline
        self._queue.append(_Waiting(values, durable, deadline))
        self._idle.clear()
        self._work.set()
        return durable

    async def drain(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds until nothing is waiting; whether that was reached."""
        return await _within(timeout, self._idle)

    async def close(self) -> None:
        """Stop writing; what is still waiting fails. Closing again does nothing."""
        if self._task is not None:
            self._task.remove_done_callback(self._died)
            self._task.cancel()
            await asyncio.wait([self._task])
        self._fail_all()
        self.link.close()

    async def _write_for_ever(self) -> None:
        await self._pulse()
        self._looked.set()
        while True:
            if self._queue:
                await self._write(list(islice(self._queue, self._settings.log_batch_limit)))
            elif not await _within(_PULSE_SECONDS, self._work):
                await self._pulse()

    async def _pulse(self) -> None:
        with suppress(DatabaseAway):  # the link has noted it, and says so to whoever asks
            await self.link.run(_pulse, timeout=self._settings.database_query_timeout)

    async def _write(self, batch: list[_Waiting]) -> None:
        """Settle the batch, which is the head of the queue: every exchange in it becomes durable or fails."""
        for pause in _pauses():
            batch = self._without_expired(batch)
            if not batch:
                return
            try:
                await self._try(batch)
            except DatabaseAway:
                await asyncio.sleep(min(pause, max(0.0, batch[0].deadline - time.monotonic())))
            except RefusedData as error:
                await self._write_apart(batch, str(error))
                return
            else:
                self._settle(len(batch))
                return

    async def _try(self, batch: list[_Waiting]) -> None:
        left = batch[0].deadline - time.monotonic()
        rows = [waiting.row for waiting in batch]

        async def insert(connection: Connection) -> None:
            await connection.executemany(self._insert, rows)  # all or nothing, in one round trip

        await self.link.run(insert, timeout=min(left, self._settings.database_query_timeout))

    async def _write_apart(self, batch: list[_Waiting], error: str) -> None:
        """Close in on the exchange that the database refuses, so that only that one fails."""
        if len(batch) == 1:
            _log.error(
                "an exchange was refused", event_key="exchange_refused", id=str(batch[0].row[0]), error=error
            )
            self._settle(1, ExchangeRefused)
            return
        middle = len(batch) // 2
        await self._write(batch[:middle])
        await self._write(batch[middle:])

    def _without_expired(self, batch: list[_Waiting]) -> list[_Waiting]:
        now = time.monotonic()
        expired = sum(waiting.deadline <= now for waiting in batch)
        if expired:
            _log.error("exchanges were not durable in time", event_key="exchanges_expired", count=expired)
            self._settle(expired, NotRecorded)
        return batch[expired:]

    def _settle(self, count: int, error: type[GatewayError] | None = None) -> None:
        """Tell the owners of the `count` oldest exchanges what became of them."""
        for _ in range(count):
            durable = self._queue.popleft().durable
            if durable.done():
                continue  # its owner has stopped waiting
            if error is None:
                durable.set_result(None)
            else:
                durable.set_exception(error())
                durable.exception()  # logged here already, so asyncio need not if the owner never looks
        if error is None:
            self.committed += count
        else:
            self.failed += count
        if not self._queue:
            self._work.clear()
            self._idle.set()

    def _fail_all(self) -> None:
        self._settle(len(self._queue), NotRecorded)

    def _died(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        trace = "".join(traceback.format_tb(error.__traceback__)) if error else None
        _log.critical(
            "the exchange writer has ended; nothing more is generated",
            event_key="exchange_writer_died",
            error=type(error).__name__,
            trace=trace,  # without the message, which may quote what was said
        )
        self._fail_all()


async def _pulse(connection: Connection) -> None:
    await connection.execute(_PULSE)


def _pauses() -> Iterator[float]:
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, _LONGEST_PAUSE)


async def _within(seconds: float, event: asyncio.Event) -> bool:
    """Whether the event comes within so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
