"""The writer: makes exchanges and kept answers durable, many in one commit, and tells each one's owner when it is.

One task writes. The next batch starts when the last one is done, so commits grow with the load by themselves and a
lone exchange waits for nothing. A batch that PostgreSQL does not take in time goes to the spool on this machine's disk,
and is shipped from there when PostgreSQL is back. Ids are ours and conflicts do nothing, so that writing again what
may be there already is harmless.
"""

import asyncio
import time
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

import structlog

from adapters.conversations.entries import Entry, decode, identity, record
from adapters.conversations.errors import ExchangeRefused, LogUnavailable, NotRecorded
from adapters.conversations.exchange import accepted_at
from adapters.conversations.insertion import Insertion, insert_all, insertion, look_statement
from adapters.conversations.metrics import ExchangeMetrics
from adapters.conversations.spool import Spool, SpoolBroken
from adapters.conversations.spool_file import Kept
from adapters.conversations.status import LogStatus
from adapters.database import schema
from adapters.database.link import DatabaseAway, Link, RefusedData
from adapters.database.session import Connection
from adapters.errors import GatewayError
from adapters.settings import LogSettings

_log = structlog.get_logger(__name__)
_PULSE = look_statement()
_PULSE_SECONDS = 1.0
_LOOK_SECONDS = 5.0  # the longest time without a pulse, however much there is to do
_ADOPT_SECONDS = 10.0
_START_SECONDS = 1.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


@dataclass(slots=True)
class _Waiting:
    entry: Entry
    insertion: Insertion
    durable: asyncio.Future[None]
    deadline: float
    """In `time.monotonic()`."""


class ExchangeWriter:
    """Writes entries: `require_ready` before generating, `commit` before telling the client that it is complete."""

    def __init__(self, settings: LogSettings) -> None:
        self._settings = settings
        self._queue: deque[_Waiting] = deque()  # settled from the left: oldest first, deadlines ascending
        self._tasks: list[asyncio.Task[None]] = []
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._looked = asyncio.Event()
        self._away = asyncio.Event()
        """While it is set the writing task leaves the link to the watching one."""
        self.link = Link(settings)
        """The connection, for its `up`, `last_error` and `away_since`."""
        self.spool = Spool(settings)
        self.figures = ExchangeMetrics()
        self._accepted = self._committed = self._spooled = self._refused = self._lost = 0
        self._pulsed_at = 0.0

    def status(self) -> LogStatus:
        """Where everything is, at this moment."""
        return LogStatus(
            accepted=self._accepted,
            committed=self._committed,
            spooled=self._spooled,
            refused=self._refused,
            lost=self._lost,
            waiting=len(self._queue),
            oldest_unshipped=accepted_at(self.spool.oldest) if self._spooled and self.spool.oldest else None,
            database_away_since=self.link.away_since,
            spool_problem=self.spool.problem,
            spool_room_bytes=self.spool.room_bytes,
        )

    @property
    def alive(self) -> bool:
        """Whether the writer's tasks are running."""
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    async def start(self) -> None:
        """Start writing. Returns when the database has answered, or after a second without it."""
        self._idle.set()
        await self.spool.probe()
        self._accepted = self._spooled = self.spool.count
        for work, name in (
            (self._write_for_ever(), "exchange writer"),
            (self._watch_for_ever(), "log watch"),
        ):
            task = asyncio.create_task(work, name=name)
            task.add_done_callback(self._died)
            self._tasks.append(task)
        await _within(_START_SECONDS, self._looked)

    def require_ready(self) -> None:
        """Return only if an exchange could be made durable now.

        Raises:
            LogUnavailable: neither the database nor the spool can take it, or the queue is full, or the writer has ended.
        """
        if self._settings.log_mode == "best_effort":
            return
        room = len(self._queue) < self._settings.log_queue_limit
        if not (self.alive and room and (self.link.up or self.spool.well)):
            raise LogUnavailable

    def commit(self, entry: Entry) -> asyncio.Future[None]:
        """Write an exchange, or an answer to be kept; the future's result comes when it is on disk.

        It is taken whatever `require_ready` says, because it was generated already: the queue's bound is its limit
        and the generations open at once. An owner that stops waiting does not stop the writing.

        Raises:
            NotRecorded: the writer has ended; from the future: it was not durable before its deadline.
            ExchangeRefused: it holds what PostgreSQL does not take; also from the future.
        """
        self.figures.note(entry)
        careless = self._settings.log_mode == "best_effort"
        if careless and (not self.alive or len(self._queue) >= self._settings.log_queue_limit):
            return self._lose()
        if not self.alive:
            raise NotRecorded
        self._accepted += 1
        try:
            what = insertion(entry)
        except ExchangeRefused:
            self._refused += 1
            _log.error(
                "an exchange was refused", event_key="exchange_refused", request_id=identity(entry).hex
            )
            raise
        durable = asyncio.get_running_loop().create_future()
        deadline = time.monotonic() + self._settings.log_commit_deadline
        self._queue.append(_Waiting(entry, what, durable, deadline))
        self._idle.clear()
        self._work.set()
        return durable

    async def erase(self, id: UUID) -> None:
        """Erase an exchange from the spool whose row in PostgreSQL says that it is deleted.

        Raises:
            LogUnavailable: it may still be in the spool.
        """
        try:
            erased = await self.spool.erase(id)
        except SpoolBroken:
            if self.spool.count:
                raise LogUnavailable from None
            return  # it held nothing
        self._spooled -= erased
        self._committed += erased

    async def drain(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds until nothing is waiting; whether that was reached."""
        return await _within(timeout, self._idle)

    async def close(self) -> None:
        """Stop writing; what is still waiting fails. Closing again does nothing."""
        if self._tasks:
            for task in self._tasks:
                task.remove_done_callback(self._died)
                task.cancel()
            await asyncio.wait(self._tasks)
            self._tasks.clear()
            await self.spool.close()
        self._fail_all()
        self.link.close()

    # --- the writing task

    async def _write_for_ever(self) -> None:
        await self._pulse()
        self._looked.set()
        while True:
            if not self._away.is_set() and time.monotonic() - self._pulsed_at > _LOOK_SECONDS:
                await self._pulse()
            if self._queue:
                await self._write(list(islice(self._queue, self._settings.log_batch_limit)))
            shipped = self._spooled and not self._away.is_set() and await self._ship()
            if not self._queue and not shipped:
                await self._rest()

    async def _rest(self) -> None:
        """Wait for work, and look now and then whether the database is still there."""
        if not await _within(_PULSE_SECONDS, self._work) and not self._away.is_set():
            await self._pulse()

    async def _pulse(self) -> None:
        self._pulsed_at = time.monotonic()
        try:
            await self.link.run(_pulse, timeout=self._patience)
        except DatabaseAway:
            self._away.set()  # the link has noted it, and says so to whoever asks
        else:
            self._away.clear()

    async def _write(self, batch: list[_Waiting]) -> None:
        """Settle the batch, which is the head of the queue: every exchange in it becomes durable or fails."""
        for pause in _pauses():
            batch = self._without_expired(batch)
            if not batch:
                return
            if not self._away.is_set():
                try:
                    patience = min(batch[0].deadline - time.monotonic(), self._patience)
                    await self._insert([waiting.insertion for waiting in batch], patience)
                except DatabaseAway:
                    self._away.set()
                except RefusedData as error:
                    await self._write_apart(batch, str(error))
                    return
                else:
                    self._committed += len(batch)
                    self._settle(len(batch))
                    return
            try:
                await self.spool.keep([record(waiting.entry) for waiting in batch])
            except SpoolBroken:
                await asyncio.sleep(min(pause, max(0.0, batch[0].deadline - time.monotonic())))
            else:
                self._spooled += len(batch)
                self._settle(len(batch))
                return

    @property
    def _patience(self) -> float:
        """Seconds that the database gets: little where there is another place for what waits."""
        settings = self._settings
        return settings.log_patience if self.spool.well else settings.database_query_timeout

    async def _insert(self, batch: Sequence[Insertion], timeout: float) -> None:
        await self.link.run(lambda connection: insert_all(connection, batch), timeout=timeout)

    async def _write_apart(self, batch: list[_Waiting], error: str) -> None:
        """Close in on the exchange that the database refuses, so that only that one fails."""
        if len(batch) == 1:
            id = identity(batch[0].entry).hex
            _log.error("an exchange was refused", event_key="exchange_refused", request_id=id, error=error)
            self._fail(1, ExchangeRefused)
            return
        middle = len(batch) // 2
        await self._write(batch[:middle])
        await self._write(batch[middle:])

    async def _ship(self) -> bool:
        """Bring the oldest records of the spool into the database; whether there were any and it went well."""
        try:
            kept = await self.spool.first(self._settings.log_batch_limit)
            await self._ship_all(kept)
        except SpoolBroken:
            return False
        except DatabaseAway:
            self._away.set()
            return False
        return bool(kept)

    async def _ship_all(self, kept: Sequence[Kept]) -> None:
        places = [one.place for one in kept]
        try:
            batch = [insertion(decode(one.record.content)) for one in kept]
            await self._insert(batch, self._settings.database_query_timeout)
        except (RefusedData, ExchangeRefused) as error:
            await self._ship_apart(kept, error)
            return
        shipped = await self.spool.remove(places)  # what its caller deleted meanwhile has been counted
        self._spooled -= shipped
        self._committed += shipped

    async def _ship_apart(self, kept: Sequence[Kept], error: Exception) -> None:
        if len(kept) == 1:
            id = kept[0].record.id.hex
            _log.critical(
                "a spooled exchange was refused",
                event_key="spooled_exchange_refused",
                request_id=id,
                error=str(error),
            )
            aside = await self.spool.set_aside([kept[0].place])
            self._spooled -= aside
            self._refused += aside
            return
        middle = len(kept) // 2
        await self._ship_all(kept[:middle])
        await self._ship_all(kept[middle:])

    def _without_expired(self, batch: list[_Waiting]) -> list[_Waiting]:
        now = time.monotonic()
        expired = sum(waiting.deadline <= now for waiting in batch)
        if expired:
            _log.error("exchanges were not durable in time", event_key="exchanges_expired", count=expired)
            self._fail(expired, NotRecorded)
        return batch[expired:]

    def _fail(self, count: int, error: type[GatewayError]) -> None:
        """Tell the owners of the `count` oldest exchanges that they are not durable, if that is to be told."""
        if self._settings.log_mode == "best_effort":
            self._lost += count
            self._settle(count)
        else:
            self._refused += count
            self._settle(count, error)

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
        if not self._queue:
            self._work.clear()
            self._idle.set()

    def _lose(self) -> asyncio.Future[None]:
        self._accepted += 1
        self._lost += 1
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        told.set_result(None)
        return told

    def _fail_all(self) -> None:
        if self._queue:
            self._fail(len(self._queue), NotRecorded)

    # --- the watching task

    async def _watch_for_ever(self) -> None:
        """Look for a database that is away, and for the spools of processes that have ended."""
        await self._adopt()
        while True:
            if not await _within(_ADOPT_SECONDS, self._away):
                await self._adopt()
                continue
            await self._pulse()
            if self._away.is_set():
                await self.spool.probe()
                await asyncio.sleep(_PULSE_SECONDS)

    async def _adopt(self) -> None:
        with suppress(SpoolBroken):
            while adopted := await self.spool.adopt():
                _log.info("exchanges of a process that ended", event_key="spool_adopted", count=adopted)
                self._accepted += adopted
                self._spooled += adopted

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
    """Fails also where the schema is another than this gateway runs with."""
    await schema.refuse_wrong(connection)
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
