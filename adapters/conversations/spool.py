"""The spool: exchanges that are durable on this machine's disk, and not in PostgreSQL yet.

Each gateway process holds one SQLite file, in WAL mode with `synchronous=FULL` (https://sqlite.org/wal.html): what
`keep` has returned from survives a kill and a loss of power, and a torn tail is what SQLite itself repairs. The file is
locked for as long as its process lives. Files of processes that have ended are taken over; none is ever deleted,
because another process may be about to lock it.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from uuid import UUID
from zlib import crc32

import structlog

from adapters.settings import LogSettings

_log = structlog.get_logger(__name__)
_Result = TypeVar("_Result")
_MOST_FILES = 256
_MOST_ADOPTED = 1024  # records at a time: what has to be kept meanwhile waits
_MOST_BYTES_AT_ONCE = 8 * 2**20
_RETRY_SECONDS = 1.0
_PAGE_BYTES = 4096
_DAMAGE = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_TABLES = """
    CREATE TABLE IF NOT EXISTS records (
        place INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE, conversation BLOB NOT NULL,
        sum INTEGER NOT NULL, record BLOB NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS records_conversation ON records (conversation);
    CREATE TABLE IF NOT EXISTS refused (id BLOB PRIMARY KEY, sum INTEGER NOT NULL, record BLOB NOT NULL) STRICT;
"""


class SpoolBroken(Exception):
    """The spool cannot do what it was asked now: its disk is full or failing, or there is no file to write to."""


class SpoolTaken(Exception):
    """Another process holds this file."""


@dataclass(frozen=True, slots=True)
class Record:
    """An exchange as the spool keeps it."""

    id: UUID
    conversation: UUID
    content: bytes
    """Empty where the disk has not kept it."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A record in the spool."""

    place: int
    """Records come back in the order of their places."""
    record: Record


class SpoolFile:
    """One file, held by this process. Its methods block."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        """Open and lock the file, or make it.

        Raises:
            SpoolTaken: another process holds it.
            sqlite3.Error: it cannot be opened, made or read.
        """
        self.path = path
        path.touch(
            mode=0o600
        )  # SQLite would let others read it where the folder does; its WAL is as the file
        self._connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(max_bytes)
        except sqlite3.OperationalError as error:
            self._connection.close()
            if error.sqlite_errorname.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
                raise SpoolTaken from None
            raise
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self, max_bytes: int) -> None:
        run = self._connection.execute
        run("PRAGMA locking_mode = EXCLUSIVE")
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        run("PRAGMA secure_delete = ON")  # what a caller deletes is not to be found on the disk
        run("BEGIN EXCLUSIVE")  # takes the lock, which stays until the file is closed
        run("COMMIT")
        (state,) = run("PRAGMA quick_check(1)").fetchone()
        if state != "ok":
            raise sqlite3.DatabaseError("the file is damaged")
        self._connection.executescript(_TABLES)
        run(f"PRAGMA max_page_count = {max(64, max_bytes // _PAGE_BYTES)}")

    def append(self, records: Sequence[Record]) -> int:
        """Keep all of them, or none; how many were not there yet."""
        rows = [(one.id.bytes, one.conversation.bytes, crc32(one.content), one.content) for one in records]
        with self._transaction():
            before = self._connection.total_changes
            self._connection.executemany(
                "INSERT OR IGNORE INTO records (id, conversation, sum, record) VALUES (?, ?, ?, ?)", rows
            )
            return self._connection.total_changes - before

    def first(self, count: int) -> list[Kept]:
        """The oldest records, fewer where they are long. One whose bytes have changed on the disk comes without them."""
        query = "SELECT place, id, conversation, sum, record FROM records ORDER BY place LIMIT ?"
        kept: list[Kept] = []
        size = 0
        for place, id, conversation, sum, content in self._connection.execute(query, (count,)):
            whole = content if crc32(content) == sum else b""
            kept.append(Kept(place, Record(UUID(bytes=id), UUID(bytes=conversation), whole)))
            size += len(content)
            if size > _MOST_BYTES_AT_ONCE:
                break
        return kept

    def remove(self, places: Sequence[int]) -> int:
        """Forget records; how many were still there."""
        with self._transaction():
            removed = self._connection.executemany(
                "DELETE FROM records WHERE place = ?", [(place,) for place in places]
            ).rowcount
        if self.count() == 0:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return removed

    def set_aside(self, places: Sequence[int]) -> int:
        """Keep records where they hold up no others, for a person to look at; how many were still there."""
        numbers = [(place,) for place in places]
        with self._transaction():
            self._connection.executemany(
                "INSERT OR IGNORE INTO refused SELECT id, sum, record FROM records WHERE place = ?", numbers
            )
            return self._connection.executemany("DELETE FROM records WHERE place = ?", numbers).rowcount

    def find(self, id: UUID) -> list[bytes]:
        """The record of this id, and those of the conversation that it is or is part of, oldest first."""
        query = """
            SELECT record FROM records
            WHERE conversation = coalesce((SELECT conversation FROM records WHERE id = :id), :id) ORDER BY place"""
        return [record for (record,) in self._connection.execute(query, {"id": id.bytes})]

    def everything(self) -> Iterator[tuple[UUID, bytes]]:
        """Every record, with its id, also those that were set aside; as the disk has kept them."""
        both = "SELECT id, record FROM records UNION ALL SELECT id, record FROM refused"
        for id, content in self._connection.execute(both):
            yield UUID(bytes=id), content

    def erase(self, *ids: UUID) -> int:
        """Remove records, wherever they are, and every trace of them from the file; how many of those that wait."""
        places = [(id.bytes,) for id in ids]
        with self._transaction():
            removed = self._connection.executemany("DELETE FROM records WHERE id = ?", places).rowcount
            self._connection.executemany("DELETE FROM refused WHERE id = ?", places)
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return removed

    def count(self, table: str = "records") -> int:
        """How many records wait, or were set aside (`refused`)."""
        count: int = self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
        return count

    def oldest(self) -> UUID | None:
        """The id of the record that has waited longest."""
        found = self._connection.execute("SELECT id FROM records ORDER BY place LIMIT 1").fetchone()
        return None if found is None else UUID(bytes=found[0])

    def probe(self) -> None:
        """Write something that means nothing, to see whether writing works."""
        self._connection.execute(f"PRAGMA user_version = {time.time_ns() % 2**31}")

    def close(self) -> None:
        """Let the file go."""
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise


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
