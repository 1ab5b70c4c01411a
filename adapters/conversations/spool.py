"""The spool: exchanges that are durable on this machine's disk, and not in PostgreSQL yet.

Each gateway process holds one SQLite file, in WAL mode with `synchronous=FULL` (https://sqlite.org/wal.html): what
`keep` has returned from survives a kill and a loss of power, and a torn tail is what SQLite itself repairs. The file is
locked for as long as its process lives. Files of processes that have ended are taken over; none is ever deleted,
because another process may be about to lock it.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar
from uuid import UUID
from zlib import crc32

import structlog

from adapters.conversations.spool_file import Kept, Record, SpoolFile, SpoolTaken
from adapters.settings import LogSettings

_log = structlog.get_logger(__name__)
_Result = TypeVar("_Result")
_MOST_FILES = 256
_MOST_ADOPTED = 1024  # records at a time: what has to be kept meanwhile waits
_RETRY_SECONDS = 1.0
_DAMAGE = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


class SpoolBroken(Exception):
    """The spool cannot do what it was asked now: its disk is full or failing, or there is no file to write to."""


class Spool:
    """This process's file, worked on in a thread of its own so that a slow disk holds up nothing else."""

    def __init__(self, settings: LogSettings) -> None:
        self._folder = settings.spool_dir
        self._max_bytes = settings.spool_max_bytes
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._file: SpoolFile | None = None
        self._tried_at = 0.0
        self.problem: str | None = "NOT_OPENED_YET"
        """Why nothing can be kept now, as SQLite or the system names it; None where it can."""
        self.count = 0
        """Records that wait to be shipped."""
        self.refused = 0
        """Records that were damaged, or that PostgreSQL will not have: set aside."""
        self.oldest: UUID | None = None
        """The id of the record that has waited longest; ids tell the time."""
        self.room_bytes = 0
        """What its limit and its disk leave, as of the last look; 0 before the first."""

    @property
    def well(self) -> bool:
        """Whether something could be kept now, as far as is known."""
        return self.problem is None

    async def probe(self) -> None:
        """See whether something could be kept now; `problem` says what came of it."""
        with suppress(SpoolBroken):
            await self._use(SpoolFile.probe)

    async def keep(self, records: Sequence[Record]) -> None:
        """Make records durable.

        Raises:
            SpoolBroken: none of them is.
        """
        await self._use(lambda file: file.append(records))

    async def first(self, count: int) -> list[Kept]:
        """The oldest records, to be shipped.

        Raises:
            SpoolBroken: they cannot be read.
        """
        return await self._use(lambda file: file.first(count))

    async def remove(self, places: Sequence[int]) -> int:
        """Forget records that are in PostgreSQL; how many were still here.

        Raises:
            SpoolBroken: they could not be removed, and will be shipped once more, to no effect.
        """
        return await self._use(lambda file: file.remove(places))

    async def set_aside(self, places: Sequence[int]) -> int:
        """Keep records that PostgreSQL refuses where they hold up no others; how many were still here.

        Raises:
            SpoolBroken: they are still among the others.
        """
        return await self._use(lambda file: file.set_aside(places))

    async def find(self, id: UUID) -> list[bytes]:
        """The record of this id, and those of the conversation that it is or is part of, oldest first.

        Raises:
            SpoolBroken: they cannot be read.
        """
        return await self._use(lambda file: file.find(id)) if self.count else []

    async def erase(self, id: UUID) -> int:
        """Remove one record and every trace of it; how many of those that wait it was.

        Raises:
            SpoolBroken: it may still be there.
        """
        return await self._use(lambda file: file.erase(id))

    async def adopt(self) -> int:
        """Take over some of what processes that have ended left behind; how many records that were.

        Raises:
            SpoolBroken: it cannot be taken over now.
        """
        return await self._use(self._adopt)

    async def close(self) -> None:
        """Let the file go."""
        await self._in_thread(self._close)
        self._thread.shutdown(wait=False)

    async def _use(self, work: Callable[[SpoolFile], _Result]) -> _Result:
        return await self._in_thread(lambda: self._work(work))

    async def _in_thread(self, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _work(self, work: Callable[[SpoolFile], _Result]) -> _Result:
        try:
            file = self._held()
            result = work(file)
            self._look(file)
        except (sqlite3.Error, OSError) as error:
            self._note(error)
            raise SpoolBroken(self.problem) from None
        self.problem = None
        return result

    def _held(self) -> SpoolFile:
        if self._file is None:
            if self._tried_at and time.monotonic() - self._tried_at < _RETRY_SECONDS:
                raise SpoolBroken(self.problem)
            self._tried_at = time.monotonic()
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = self._lowest_free()
        return self._file

    def _lowest_free(self) -> SpoolFile:
        for number in range(_MOST_FILES):
            with suppress(SpoolTaken):
                return self._whole(self._folder / f"spool-{number}.sqlite")
        raise OSError(f"all {_MOST_FILES} spool files are taken")

    def _whole(self, path: Path) -> SpoolFile:
        """The file. One that SQLite finds damaged is put aside, and what it can still read is copied to a new one."""
        try:
            return SpoolFile(path, self._max_bytes)
        except sqlite3.OperationalError:
            raise  # no room, no permission: the file itself may be well
        except sqlite3.DatabaseError:
            aside = _put_aside(path)
            file = SpoolFile(path, self._max_bytes)
            saved = _salvage(aside, file)
            _log.critical(
                "a spool file is damaged and was put aside",
                event_key="spool_damaged",
                file=aside.name,
                saved=saved,
            )
            return file

    def _adopt(self, own: SpoolFile) -> int:
        adopted = 0
        for path in sorted(self._folder.glob("spool-*.sqlite")):
            if path != own.path:
                with suppress(SpoolTaken), closing(self._whole(path)) as left:
                    adopted += _move(left, own)
        return adopted

    def _look(self, file: SpoolFile) -> None:
        self.count, self.refused, self.oldest = file.count(), file.count("refused"), file.oldest()
        self.room_bytes = file.room()

    def _note(self, error: sqlite3.Error | OSError) -> None:
        problem = getattr(error, "sqlite_errorname", None) or type(error).__name__
        if self.problem != problem:
            _log.error("the spool cannot be used", event_key="spool_broken", error=problem)
        self.problem = problem
        if problem.startswith(_DAMAGE):
            self._close()  # opening it again puts it aside

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _move(left: SpoolFile, own: SpoolFile) -> int:
    """Move records. Ended in the middle, some are in both files: shipping them twice changes nothing."""
    moved = 0
    while moved < _MOST_ADOPTED and (found := left.first(_MOST_ADOPTED - moved)):
        whole = [kept for kept in found if kept.record.content]
        own.append([kept.record for kept in whole])
        left.remove([kept.place for kept in whole])
        left.set_aside([kept.place for kept in found if not kept.record.content])
        moved += len(whole)
    return moved


def _put_aside(path: Path) -> Path:
    aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
    for suffix in ("-wal", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside


def _salvage(damaged: Path, file: SpoolFile) -> int:
    """Copy what can be read, from both ends up to the damage; how many records that were."""
    saved = 0
    for order in ("ASC", "DESC"):
        query = f"SELECT id, conversation, sum, record FROM records ORDER BY place {order}"  # noqa: S608
        with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(damaged)) as connection:
            for id, conversation, sum, content in connection.execute(query):
                if crc32(content) == sum:
                    saved += file.append([Record(UUID(bytes=id), UUID(bytes=conversation), content)])
    return saved
