"""What callers think of answers: a rating, a comment, and which of two they prefer."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast
from uuid import UUID

from sqlalchemy import Table, and_, delete, select
from sqlalchemy.dialects.postgresql import insert

from adapters.conversations.errors import ExchangeNotFound
from adapters.conversations.exchange import Exchange
from adapters.conversations.models import FeedbackRow
from adapters.conversations.repository import ExchangeRepository
from adapters.errors import InvalidRequest

_feedback = cast(Table, FeedbackRow.__table__)
_VALUES = ("rating", "comment", "preferred_over")


class NoSibling(InvalidRequest):
    """`preferred_over` names no other answer in the same place of the conversation."""

    code = "not_a_sibling"


@dataclass(frozen=True, kw_only=True, slots=True)
class Feedback:
    """What a caller thinks of one of its exchanges."""

    exchange_id: UUID
    rating: int | None = None
    """-1, 0 or 1."""
    comment: str | None = None
    preferred_over: UUID | None = None
    """A sibling whose answer was worse."""
    given_at: datetime | None = None
    """When it was last changed; None where there is none."""


class FeedbackRepository:
    """Reads and writes feedback. Every method raises LogUnavailable where the database is away."""

    def __init__(self, exchanges: ExchangeRepository) -> None:
        self._exchanges = exchanges

    async def of(self, caller: str, exchange_id: UUID) -> Feedback:
        """What the caller thinks of this exchange; nothing is feedback without values."""
        return (await self.of_each(caller, [exchange_id]))[0]

    async def of_each(self, caller: str, exchange_ids: Sequence[UUID]) -> list[Feedback]:
        """What the caller thinks of each of these exchanges, in their order."""
        mine = (_feedback.c.caller == caller, _feedback.c.exchange_id.in_(exchange_ids))
        rows = await self._exchanges.rows(select(_feedback).where(*mine)) if exchange_ids else []
        names = ("exchange_id", "given_at", *_VALUES)
        given = {row["exchange_id"]: Feedback(**{name: row[name] for name in names}) for row in rows}
        return [given.get(id) or Feedback(exchange_id=id) for id in exchange_ids]

    async def give(self, caller: str, exchange_id: UUID, values: Mapping[str, object]) -> Feedback:
        """Change some of `rating`, `comment` and `preferred_over`; None takes a value back.

        Raises:
            ExchangeNotFound: this caller has no such exchange, or none that it is preferred over.
            NoSibling: the other one is not in the same place.
        """
        exchange = await self._there(caller, exchange_id)
        other = values.get("preferred_over")
        if isinstance(other, UUID):
            await self._check_sibling(caller, exchange, other)
        row = {"caller": caller, "exchange_id": exchange_id, "given_at": datetime.now(UTC), **values}
        key = and_(_feedback.c.caller == caller, _feedback.c.exchange_id == exchange_id)
        empty = and_(*(_feedback.c[name].is_(None) for name in _VALUES))
        changes = {name: row[name] for name in ("given_at", *values)}
        given = insert(_feedback).values(row)
        await self._exchanges.rows(
            given.on_conflict_do_update(constraint=_feedback.primary_key, set_=changes)
        )
        await self._exchanges.rows(delete(_feedback).where(key, empty))
        return await self.of(caller, exchange_id)

    async def _there(self, caller: str, exchange_id: UUID) -> Exchange:
        """The exchange, of which nothing can be thought any more once it was deleted."""
        exchange = await self._exchanges.get(caller, exchange_id)
        if exchange.deleted_at is not None:
            raise ExchangeNotFound("This exchange was deleted.", param="id")
        return exchange

    async def _check_sibling(self, caller: str, exchange: Exchange, other_id: UUID) -> None:
        try:
            other = await self._there(caller, other_id)
        except ExchangeNotFound as error:
            error.param = "preferred_over"
            raise
        if other.id == exchange.id or not are_siblings(exchange, other):
            raise NoSibling(param="preferred_over")


def are_siblings(one: Exchange, other: Exchange) -> bool:
    """Whether two exchanges go on from the same one; at the beginning, whether they ask the same."""
    if one.parent_id is None and other.parent_id is None:
        return same_json(one.input, other.input)
    return one.parent_id == other.parent_id


def same_json(one: bytes, other: bytes) -> bool:
    """Whether two JSON texts say the same, however they are written."""
    return one == other or json.loads(one, parse_int=str) == json.loads(other, parse_int=str)
