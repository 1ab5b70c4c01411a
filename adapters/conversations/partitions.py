"""The partitions of the log: `exchanges` is partitioned by id, and ids are ordered by time.

They leave no gap: `exchanges_first` reaches back without end, `exchanges_last` forward, and between them is one for
each month. So every id has its partition, and the newest exchanges of all are those of the newest one, which a DEFAULT
partition would not let PostgreSQL take for granted. A month is made ahead of its time, by moving where `exchanges_last`
begins; what is kept no longer is dropped, and `exchanges_first` moved up to what remains.
"""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from adapters.conversations.errors import LogUnavailable
from adapters.conversations.exchange import accepted_at
from adapters.database.session import Connection

FIRST, LAST = "exchanges_first", "exchanges_last"
_MONTHS_AHEAD = 2  # so that a month in which nobody looks does no harm
_ADVISORY_LOCK = 0x7A657069  # one number for changing them, and for nothing else
_LOCK_PATIENCE_MS = 500  # while it is waited for, everybody who reads or writes the log waits behind
_BOUNDS = re.compile(r"FOR VALUES FROM \((.+)\) TO \((.+)\)")
_PARTITIONS = """
    SELECT c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bounds, greatest(c.reltuples, 0)::bigint AS exchanges,
        pg_total_relation_size(c.oid) AS bytes
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'exchanges'::regclass"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Partition:
    """One partition: exchanges from one moment to another."""

    name: str
    begins: UUID | None
    """The lowest id it may hold; None: there is none."""
    ends: UUID | None
    """The lowest id that is too high for it; None: there is none."""
    exchanges: int
    """About how many it holds, as PostgreSQL last counted."""
    bytes: int
    """What it takes on PostgreSQL's disk, indexes included."""


async def existing(connection: Connection) -> list[Partition]:
    """All partitions, oldest first.

    Raises:
        LogUnavailable: there are none, because the database was not migrated.
    """
    found = []
    for row in await connection.fetch(_PARTITIONS):
        begins, ends = _bounds(row["bounds"])
        found.append(
            Partition(
                name=row["name"], begins=begins, ends=ends, exchanges=row["exchanges"], bytes=row["bytes"]
            )
        )
    if not found:
        raise LogUnavailable("The database has not the expected schema; run `zephyr migrate`.")
    return sorted(found, key=lambda part: part.begins.int if part.begins else -1)


async def make_ahead(connection: Connection, now: datetime) -> list[str]:
    """Make what is missing of this month and the next ones, and return the names of what was made.

    What is in `exchanges_last` already moves to where it belongs, in the same transaction. Gateways that do this at the
    same time do it one after the other.

    Raises:
        asyncpg.LockNotAvailableError: the log was in use for too long; nothing has changed.
    """
    horizon = _months_later(_month(now), _MONTHS_AHEAD + 1)
    if not _missing(await existing(connection), horizon):
        return []
    async with _changing(connection):
        missing = _missing(await existing(connection), horizon)
        if missing:
            await _make(connection, missing)
    return [_name(start) for start in missing]


async def expired(connection: Connection, before: datetime) -> list[Partition]:
    """The partitions that hold only what is older than `before`."""
    old = [part for part in await existing(connection) if part.ends and accepted_at(part.ends) <= before]
    anything = f"SELECT EXISTS (SELECT FROM {FIRST})"  # noqa: S608
    if [part.name for part in old] == [FIRST] and not await connection.fetchval(anything):
        return []  # it is always there, and has been emptied
    return old


async def drop_expired(connection: Connection, before: datetime) -> list[Partition]:
    """Drop the partitions that hold only what is older than `before`.

    Raises:
        asyncpg.LockNotAvailableError: the log was in use for too long; nothing has changed.
    """
    if not await expired(connection, before):
        return []
    async with _changing(connection):
        old = await expired(connection, before)
        if old:
            await _drop(connection, old)
    return old


async def kept_from(connection: Connection, before: datetime) -> UUID | None:
    """The lowest id that an exchange may have which is kept, where `before` is the moment up to which they may go; None
    where nothing has gone."""
    gone = [
        part.ends for part in await existing(connection) if part.ends and accepted_at(part.ends) <= before
    ]
    return max(gone, default=None)


async def _make(connection: Connection, missing: Sequence[datetime]) -> None:
    await connection.execute(f"ALTER TABLE exchanges DETACH PARTITION {LAST}")
    for start in missing:
        month = f"FROM ('{first_id(start)}') TO ('{first_id(_months_later(start, 1))}')"
        await connection.execute(f"CREATE TABLE {_name(start)} PARTITION OF exchanges FOR VALUES {month}")
    ends = first_id(_months_later(missing[-1], 1))
    await connection.execute(
        f"WITH moved AS (DELETE FROM {LAST} WHERE id < '{ends}' RETURNING *) INSERT INTO exchanges SELECT * FROM moved"  # noqa: S608  # names and ids of ours
    )
    await connection.execute(
        f"ALTER TABLE exchanges ATTACH PARTITION {LAST} FOR VALUES FROM ('{ends}') TO (MAXVALUE)"
    )


async def _drop(connection: Connection, old: Sequence[Partition]) -> None:
    for part in old:
        await connection.execute(f"DROP TABLE {part.name}")
    await connection.execute(
        f"CREATE TABLE {FIRST} PARTITION OF exchanges FOR VALUES FROM (MINVALUE) TO ('{old[-1].ends}')"
    )


@asynccontextmanager
async def _changing(connection: Connection) -> AsyncIterator[None]:
    """A transaction that has the log to itself: no other gateway changes its partitions, nobody reads or writes it."""
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = {_LOCK_PATIENCE_MS}")
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _ADVISORY_LOCK)
        await connection.execute("LOCK TABLE exchanges IN ACCESS EXCLUSIVE MODE")
        yield


def _missing(found: Sequence[Partition], horizon: datetime) -> list[datetime]:
    """The months that have no partition, up to the horizon: all that `exchanges_last` stands for."""
    assert found[-1].begins is not None
    start = accepted_at(found[-1].begins)
    missing = []
    while start < horizon:
        missing.append(start)
        start = _months_later(start, 1)
    return missing


def first_id(moment: datetime) -> UUID:
    """The lowest id of an exchange that was accepted then (UUIDv7: milliseconds in the first 48 bits)."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def _bounds(text: str) -> tuple[UUID | None, UUID | None]:
    matched = _BOUNDS.fullmatch(text)
    assert matched is not None, text
    begins, ends = (
        None if bound in ("MINVALUE", "MAXVALUE") else UUID(bound.strip("'")) for bound in matched.groups()
    )
    return begins, ends


def _name(start: datetime) -> str:
    return f"exchanges_{start:%Y_%m}"


def _month(moment: datetime) -> datetime:
    moment = moment.astimezone(UTC)
    return datetime(moment.year, moment.month, 1, tzinfo=UTC)


def _months_later(start: datetime, months: int) -> datetime:
    years, month = divmod(start.month - 1 + months, 12)
    return datetime(start.year + years, month + 1, 1, tzinfo=UTC)
