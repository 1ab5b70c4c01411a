"""Every query on responses that are open and on the events of background streams. Each is about a single caller's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, RowMapping, Table, and_, delete, exists, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from adapters.conversations.models import ExchangeRow
from adapters.conversations.repository import ExchangeRepository
from adapters.responses.errors import ConversationLocked, HolderGone
from adapters.responses.models import OpenResponseRow, ResponseEventsRow
from adapters.responses.response import Facts, ResponseStatus

_EVENTS_AT_ONCE = 20  # rows of them
_exchanges = ExchangeRow.__table__
_open = cast(Table, OpenResponseRow.__table__)
_events = cast(Table, ResponseEventsRow.__table__)


@dataclass(frozen=True, slots=True)
class OpenResponse:
    """A response that is being made."""

    facts: Facts
    background: bool
    alive: bool
    """Whether its gateway still says that it is at work on it."""


class ResponseRepository:
    """Reads and writes them. Every method raises LogUnavailable where the database is away."""

    def __init__(self, log: ExchangeRepository) -> None:
        self._rows = log.rows

    async def open(
        self, caller: str, facts: Facts, *, conversation: UUID | None, background: bool, lease: float
    ) -> None:
        """Say that a response is being made. In a conversation it is the only one until it is closed.

        Raises:
            ConversationLocked: another one is being made in it.
        """
        values = {
            "id": facts.id,
            "conversation_id": conversation,
            "lease_until": _in(lease),
            "background": background,
            "caller": caller,
            "model": facts.model,
            "metadata": facts.metadata,
            "parameters": facts.parameters,
            "input": facts.input,
        }
        if conversation is not None:
            dead = (_open.c.conversation_id == conversation, _open.c.lease_until < func.now())
            await self._rows(delete(_open).where(*dead, ~_open.c.background))
            await self._rows(update(_open).where(*dead).values(conversation_id=None))
        statement = insert(_open).values(values).on_conflict_do_nothing().returning(_open.c.id)
        if not await self._rows(statement):
            raise ConversationLocked(param="conversation")

    async def rename(self, id: UUID, other: UUID) -> None:
        """Give an open response another id."""
        await self._rows(update(_open).where(_open.c.id == id).values(id=other))

    async def renew(self, ids: Sequence[UUID], lease: float) -> Mapping[UUID, bool]:
        """Say that these are still being made; of those that are known, whether they are to be cancelled."""
        statement = (
            update(_open)
            .where(_open.c.id.in_(ids), _open.c.lease_until > func.now())
            .values(lease_until=_in(lease))
            .returning(_open.c.id, _open.c.cancel_requested)
        )
        return {row["id"]: row["cancel_requested"] for row in await self._rows(statement)}

    async def start(self, id: UUID) -> None:
        """Say that the engine has begun."""
        await self._rows(update(_open).where(_open.c.id == id).values(started=True))

    async def request_cancel(self, caller: str, id: UUID) -> None:
        """Have whoever makes it stop."""
        await self._rows(
            update(_open).where(_open.c.id == id, _open.c.caller == caller).values(cancel_requested=True)
        )

    async def close(self, id: UUID) -> bool:
        """Say that a response has ended, once its exchange is there; whether that was so."""
        recorded = exists().where(_exchanges.c.id == id)
        gone = await self._rows(delete(_open).where(_open.c.id == id, recorded).returning(_open.c.id))
        return bool(gone) or not await self._rows(select(_open.c.id).where(_open.c.id == id))

    async def drop(self, id: UUID) -> None:
        """Forget a response of which nothing came."""
        await self._rows(delete(_open).where(_open.c.id == id))

    async def close_failed(self, id: UUID, error: bytes) -> None:
        """Say that a background response has ended without an exchange."""
        await self._rows(
            update(_open)
            .where(_open.c.id == id)
            .values(error=error, conversation_id=None, lease_until=func.now())
        )

    async def find_open(self, caller: str, id: UUID) -> OpenResponse | None:
        """A background response that has no exchange (yet)."""
        alive = and_(_open.c.error.is_(None), _open.c.lease_until > func.now()).label("alive")
        query = select(_open, alive).where(_open.c.id == id, _open.c.caller == caller, _open.c.background)
        for row in await self._rows(query):
            return _open_response(row)
        return None

    async def add_events(self, caller: str, id: UUID, first: int, last: int, events: bytes) -> None:
        """Keep events; those that are kept already stay as they are. Of what was deleted meanwhile none are kept."""
        values = {"response_id": id, "first": first, "last": last, "caller": caller, "events": events}
        deleted = exists().where(_exchanges.c.id == id, _exchanges.c.deleted_at.is_not(None))
        row = select(*(literal(value, _events.c[name].type) for name, value in values.items()))
        statement = insert(_events).from_select(list(values), row.where(~deleted))
        await self._rows(statement.on_conflict_do_nothing())

    async def events(self, caller: str, id: UUID, after: int) -> list[bytes]:
        """Some of the events after this sequence number, in order."""
        query = (
            select(_events.c.events)
            .where(_events.c.response_id == id, _events.c.caller == caller, _events.c.last > after)
            .order_by(_events.c.first)
            .limit(_EVENTS_AT_ONCE)
        )
        found = [
            bytes(event)
            for row in await self._rows(query)
            for event in msgspec.json.decode(row["events"], type=list[msgspec.Raw])
        ]
        return [event for event in found if _number(event) > after]

    async def last_event(self, caller: str, id: UUID) -> bytes | None:
        """The last event that was kept."""
        query = (
            select(_events.c.events)
            .where(_events.c.response_id == id, _events.c.caller == caller)
            .order_by(_events.c.first.desc())
            .limit(1)
        )
        for row in await self._rows(query):
            return bytes(msgspec.json.decode(row["events"], type=list[msgspec.Raw])[-1])
        return None

    async def delete_events(self, caller: str, id: UUID) -> None:
        """Delete a response's events, and what else is kept of it beside its exchange."""
        await self._rows(delete(_events).where(_events.c.response_id == id, _events.c.caller == caller))
        await self._rows(delete(_open).where(_open.c.id == id, _open.c.caller == caller))


class _Numbered(msgspec.Struct):
    sequence_number: int


def _in(seconds: float) -> ColumnElement[Any]:
    return func.now() + literal(timedelta(seconds=seconds))


def _open_response(row: RowMapping) -> OpenResponse:
    status: ResponseStatus = "failed" if not row["alive"] else "in_progress" if row["started"] else "queued"
    facts = Facts(
        id=row["id"],
        status=status,
        model=row["model"],
        input=row["input"],
        parameters=row["parameters"],
        metadata=row["metadata"],
        error=row["error"] or (None if row["alive"] else HolderGone().detail()),
    )
    return OpenResponse(facts, row["background"], row["alive"])


def _number(event: bytes) -> int:
    return msgspec.json.decode(event, type=_Numbered).sequence_number
