"""One file of the spool: a SQLite database in WAL mode with `synchronous=FULL` (https://sqlite.org/wal.html).

It is locked for as long as its process lives.
"""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage
from uuid import UUID
from zlib import crc32

_MOST_BYTES_AT_ONCE = 8 * 2**20
_PAGE_BYTES = 4096
_TABLES = """
    CREATE TABLE IF NOT EXISTS records (
        place INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE, conversation BLOB NOT NULL,
        sum INTEGER NOT NULL, record BLOB NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS records_conversation ON records (conversation);
    CREATE TABLE IF NOT EXISTS refused (id BLOB PRIMARY KEY, sum INTEGER NOT NULL, record BLOB NOT NULL) STRICT;
"""


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

    def room(self) -> int:
        """Bytes that it may still take: what its limit and its disk leave."""
        pages, free, most = (
            self._pragma(name) for name in ("page_count", "freelist_count", "max_page_count")
        )
        return min((most - pages + free) * _PAGE_BYTES, disk_usage(self.path.parent).free)

    def probe(self) -> None:
        """Write something that means nothing, to see whether writing works."""
        self._connection.execute(f"PRAGMA user_version = {time.time_ns() % 2**31}")

    def close(self) -> None:
        """Let the file go."""
        self._connection.close()

    def _pragma(self, name: str) -> int:
        value: int = self._connection.execute(f"PRAGMA {name}").fetchone()[0]
        return value

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
