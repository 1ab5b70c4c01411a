"""Limits counted in PostgreSQL: exact over all gateways on one database."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.database.session import AWAY
from adapters.limits import statements
from adapters.limits.state import DAY, SECOND, State
from adapters.limits.store import FIELDS, Answer, Demand, Settlement, StoreAway, Subject

_KEPT = 62 * DAY  # after two months nothing in a row counts any more
_MOST_FORGOTTEN = 1000  # at a time, so that no statement runs for long


class LimitRepository:
    """Reads and writes the table, one statement for each of its methods."""

    def __init__(self, engine: AsyncEngine, *, lease: float) -> None:
        """`lease` is the time to live of the place of a running request, in seconds."""
        self._engine = engine
        self._lease = round(lease * SECOND)

    async def take(self, demand: Demand) -> Answer:
        """Take all that is asked for, or nothing.

        Raises:
            StoreAway: nobody knows whether it was taken.
        """
        found = await self._execute(
            statements.TAKE, demand.subjects, demand.tokens, demand.lease, self._lease
        )
        rows = {row["subject"]: row for row in found}
        return Answer(
            taken=found[0]["taken"],
            states=tuple(_state(rows[subject.name]) for subject in demand.subjects),
        )

    async def settle(self, settlement: Settlement) -> None:
        """Count what was used instead of what was reserved, and free the place.

        Raises:
            StoreAway: nobody knows whether that was done.
        """
        await self._execute(
            statements.SETTLE,
            settlement.subjects,
            settlement.lease,
            settlement.taken_at,
            settlement.reserved,
            settlement.used,
            settlement.requests,
        )

    async def renew(self, leases: Sequence[tuple[str, UUID]]) -> None:
        """Give places that are still needed, each of a subject, another time to live.

        Raises:
            StoreAway: they were not renewed.
        """
        subjects, ids = [name for name, _ in leases], [id for _, id in leases]
        await self._fetch(statements.RENEW, subjects, ids, self._lease)

    async def forget_idle(self) -> None:
        """Forget, a bounded number at a time, subjects of which nothing counts any more.

        Raises:
            StoreAway: not all were forgotten.
        """
        await self._fetch(statements.FORGET, _KEPT, _MOST_FORGOTTEN)

    async def close(self) -> None:
        """Nothing: the engine is its maker's."""

    async def _execute(
        self, statement: str, subjects: Sequence[Subject], *arguments: object
    ) -> list["asyncpg.Record"]:
        """The rows of a statement for these subjects, of which each then has one."""
        names = [subject.name for subject in subjects]
        columns = [[getattr(subject.limits, field) for subject in subjects] for field in FIELDS]
        rows = await self._fetch(statement, names, *columns, *arguments)
        if len(rows) < len(subjects):  # the first time that somebody asks
            await self._fetch(statements.BEGIN, names)
            rows = await self._fetch(statement, names, *columns, *arguments)
        return rows

    async def _fetch(self, statement: str, *arguments: object) -> list["asyncpg.Record"]:
        try:
            async with self._engine.connect() as connection:
                pooled = await connection.get_raw_connection()
                driver: Any = pooled.driver_connection  # each statement is a transaction of its own
                rows: list[asyncpg.Record] = await driver.fetch(statement, *arguments)
                return rows
        except (DBAPIError, NoConnectionFree, TimeoutError, *AWAY) as error:
            raise StoreAway(type(error).__name__) from None


def _state(row: "asyncpg.Record") -> State:
    return State(
        at=row["at"],
        requests=row["requests"],
        tokens=row["tokens"],
        day_tokens=row["day_tokens"],
        month_tokens=row["month_tokens"],
        running=row["running"],
    )
