"""Claims on idempotency keys: of all gateways on one database, one makes the answer of a key, once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, select, tuple_, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.conversations.connection import connected, single_statements
from adapters.conversations.entries import decode
from adapters.conversations.errors import ExchangeRefused, LogUnavailable
from adapters.conversations.kept import KeptAnswer, place_of
from adapters.conversations.models import IdempotentAnswerRow
from adapters.conversations.spool import Spool, SpoolBroken
from adapters.database.link import Link

_answers = IdempotentAnswerRow.__table__
_dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
_COLUMNS = ("fingerprint", "exchange_id", "holder", "expires_at", "caller", "key", "answer")
_MOST_DELETED = 1000  # at a time, so that no statement runs for long
_TRIES = 3  # the row that is in the way may go before it is read
_Result = TypeVar("_Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """The right to make the answer of a key."""

    caller: str
    key: str
    fingerprint: UUID
    exchange_id: UUID
    holder: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """What stands under a key already."""

    fingerprint: UUID
    seconds: float
    """How long it stands if nobody does anything: the rest of the lease, or of the time that the answer is kept."""
    answer: bytes | None
    """None while it is being made."""


class Claims:
    """Reads and writes the table. Every method raises LogUnavailable where the database is away, or slow.

    What took too long is not broken off. It may still come to pass, which does no harm: a claim that nobody renews
    ends with its lease.
    """

    def __init__(
        self, engine: AsyncEngine, link: Link, spool: Spool, *, patience: float, lease: float
    ) -> None:
        """`patience` and `lease` are seconds."""
        self._engine = single_statements(engine)
        self._link = link
        self._spool = spool
        self._patience = patience
        self._lease = timedelta(seconds=lease)
        self._slow: set[asyncio.Task[object]] = set()

    async def spooled(self, caller: str, key: str) -> Standing | None:
        """The answer that waits on this machine's disk to be shipped, if there is one."""
        try:
            found = [decode(record) for record in await self._spool.find(place_of(caller, key))]
        except (SpoolBroken, ExchangeRefused):
            return None  # the spool says so itself
        now = datetime.now(UTC)
        standings = [
            Standing(fingerprint=one.fingerprint, seconds=left, answer=one.answer)
            for one in found
            if isinstance(one, KeptAnswer) and (left := (one.expires_at - now).total_seconds()) > 0
        ]
        return standings[-1] if standings else None

    async def take(self, claim: Claim) -> Standing | None:
        """Take the claim; None where it is ours now, otherwise what stands in its way."""
        return await self._patiently(lambda: self._take(claim))

    async def renew(self, claims: Sequence[Claim]) -> None:
        """Give claims that are still held another lease.

        A row that is locked at this moment is left for the next time: waiting for it while holding others could be
        waiting for each other, since the writer locks many rows as well.
        """
        mine = select(_answers.c.caller, _answers.c.key).where(_held(claims))
        query = (
            update(IdempotentAnswerRow)
            .where(tuple_(_answers.c.caller, _answers.c.key).in_(mine.with_for_update(skip_locked=True)))
            .values(expires_at=func.now() + self._lease)
        )
        await self._patiently(lambda: self._execute(query))

    async def release(self, claim: Claim) -> None:
        """Let go of a claim that led to nothing."""
        query = delete(IdempotentAnswerRow).where(_held([claim]))
        await self._patiently(lambda: self._execute(query))

    async def delete_expired(self) -> None:
        """Delete what has expired, a bounded number at a time."""
        old = select(_answers.c.caller, _answers.c.key).where(_answers.c.expires_at <= func.now())
        old = old.limit(_MOST_DELETED).with_for_update(skip_locked=True)
        query = delete(IdempotentAnswerRow).where(tuple_(_answers.c.caller, _answers.c.key).in_(old))
        while await self._patiently(lambda: self._execute(query)) == _MOST_DELETED:
            continue

    async def close(self) -> None:
        """Break off what is still slow."""
        for task in self._slow:
            task.cancel()
        await asyncio.gather(*self._slow, return_exceptions=True)

    async def _take(self, claim: Claim) -> Standing | None:
        new = insert(IdempotentAnswerRow).values(
            fingerprint=claim.fingerprint,
            exchange_id=claim.exchange_id,
            holder=claim.holder,
            expires_at=func.now() + self._lease,
            caller=claim.caller,
            key=claim.key,
        )
        names = ("fingerprint", "exchange_id", "holder", "expires_at", "answer")
        taking = new.on_conflict_do_update(
            index_elements=["caller", "key"],
            set_={name: new.excluded[name] for name in names},
            where=_answers.c.expires_at <= func.now(),
        ).returning(_answers.c.holder)
        rest = func.extract("epoch", _answers.c.expires_at - func.now()).label("seconds")
        standing = select(_answers.c.fingerprint, _answers.c.answer, rest).where(
            _answers.c.caller == claim.caller, _answers.c.key == claim.key
        )
        async with connected(self._engine) as connection:
            for _ in range(_TRIES):
                if (await connection.execute(taking)).first() is not None:
                    return None
                if (row := (await connection.execute(standing)).mappings().one_or_none()) is not None:
                    return Standing(
                        fingerprint=row["fingerprint"], seconds=float(row["seconds"]), answer=row["answer"]
                    )
        raise LogUnavailable  # it comes and goes: whoever asks again finds one or the other

    async def _execute(self, query: object) -> int:
        async with connected(self._engine) as connection:
            count: int = (await connection.execute(query)).rowcount  # type: ignore[call-overload]
            return count

    async def _patiently(self, work: Callable[[], Awaitable[_Result]]) -> _Result:
        if not self._link.up:
            raise LogUnavailable
        task = asyncio.ensure_future(work())
        await asyncio.wait([task], timeout=self._patience)
        if task.done():
            return task.result()
        self._slow.add(task)
        task.add_done_callback(self._forget)
        raise LogUnavailable

    def _forget(self, task: "asyncio.Task[object]") -> None:
        self._slow.discard(task)
        if not task.cancelled():
            task.exception()  # told already where it was raised; nobody waits for it any more


def _held(claims: Sequence[Claim]) -> ColumnElement[bool]:
    """Rows that these claims still hold; an answer that is there is nobody's any more."""
    rows = [(claim.caller, claim.key, claim.holder) for claim in claims]
    return tuple_(_answers.c.caller, _answers.c.key, _answers.c.holder).in_(rows) & _answers.c.answer.is_(
        None
    )


def keep_statement() -> str:
    """The SQL, in asyncpg's own form, that keeps an answer (`kept_row`) unless there is one that still counts.

    It takes no claim into account: an answer that was made while the database was away had none. That of an exchange
    that was deleted meanwhile is not kept.
    """
    number = {name: f"${place}" for place, name in enumerate(_COLUMNS, 1)}
    values = ", ".join(
        f"CAST({number[name]} AS {_answers.c[name].type.compile(_dialect)})" for name in _COLUMNS
    )
    changes = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name not in ("caller", "key"))
    return f"""
        INSERT INTO idempotent_answers ({", ".join(_COLUMNS)}) SELECT {values}
        WHERE NOT EXISTS (
            SELECT FROM exchanges
            WHERE id = CAST({number["exchange_id"]} AS UUID) AND deleted_at IS NOT NULL
        )
        ON CONFLICT (caller, key) DO UPDATE SET {changes}
        WHERE idempotent_answers.answer IS NULL OR idempotent_answers.expires_at <= now()"""  # noqa: S608  # names only


def kept_row(kept: KeptAnswer) -> list[object]:
    """The values of a kept answer in the order of `keep_statement`."""
    return [getattr(kept, name) for name in _COLUMNS]
