"""Every query on conversations. Each is about a single caller's.

What was said in a conversation is in its exchanges; what clients have added stands beside them, in the order of ids.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, RowMapping, Table, delete, func, insert, select, update
from uuid_utils.compat import uuid7

from adapters.conversations.errors import ConversationTooLong
from adapters.conversations.exchange import ANSWERED, Exchange, accepted_at
from adapters.conversations.models import ExchangeRow
from adapters.conversations.repository import ExchangeRepository, exchange_of, not_before
from adapters.responses.errors import ConversationNotFound
from adapters.responses.ids import id_after
from adapters.responses.models import ConversationItemRow, ConversationRow
from adapters.responses.response import ENDPOINT

ENTRIES_AT_ONCE = 20
_LONGEST = 1000  # entries of a conversation that is answered
_exchanges = ExchangeRow.__table__
_conversations = cast(Table, ConversationRow.__table__)
_items = cast(Table, ConversationItemRow.__table__)


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation, without what was said in it."""

    id: UUID
    created_at: int
    """Unix time."""
    metadata: bytes
    hidden: frozenset[str]
    """Ids of items of exchanges that were deleted from it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A place in a conversation: an exchange, or an item that a client has added."""

    id: UUID
    what: Exchange | bytes

    @property
    def size(self) -> int:
        """The bytes of its texts."""
        if isinstance(self.what, bytes):
            return len(self.what)
        return len(self.what.input) + len(self.what.answer or b"")


class ConversationRepository:
    """Reads and writes them. Every method raises LogUnavailable where the database is away."""

    def __init__(self, log: ExchangeRepository, page_bytes: int) -> None:
        """`page_bytes` bounds what is answered."""
        self._rows = log.rows
        self._page_bytes = page_bytes

    async def create(self, caller: str, metadata: bytes, items: Sequence[bytes]) -> Conversation:
        """A new conversation, with these items in it."""
        id = uuid7()
        statement = (
            insert(_conversations)
            .values(id=id, created_at=accepted_at(id), caller=caller, metadata=metadata)
            .returning(_conversations)
        )
        (found,) = await self._rows(statement)
        if items:
            await self._add(id, None, items)
        return _conversation(found)

    async def conversation(self, caller: str, id: UUID) -> Conversation:
        """One conversation.

        Raises:
            ConversationNotFound: this caller has no such conversation.
        """
        return _one(await self._rows(select(_conversations).where(*_mine(caller, id))))

    async def set_metadata(self, caller: str, id: UUID, metadata: bytes) -> Conversation:
        """Put other metadata in the place of what it has.

        Raises:
            ConversationNotFound: this caller has no such conversation.
        """
        statement = (
            update(_conversations)
            .where(*_mine(caller, id))
            .values(metadata=metadata)
            .returning(_conversations)
        )
        return _one(await self._rows(statement))

    async def delete(self, caller: str, id: UUID) -> None:
        """Delete it and what clients have added to it; exchanges stay in the log. It is to be held."""
        await self._rows(delete(_conversations).where(*_mine(caller, id)))

    async def add(self, id: UUID, items: Sequence[bytes]) -> list[Entry]:
        """Add items at the end of a conversation that is held."""
        return await self._add(id, await self.last_id(id), items)

    async def _add(self, id: UUID, last: UUID | None, items: Sequence[bytes]) -> list[Entry]:
        entries: list[Entry] = []
        for item in items:
            last = id_after(last)
            entries.append(Entry(last, item))
        values = [{"id": entry.id, "conversation_id": id, "item": entry.what} for entry in entries]
        await self._rows(insert(_items).values(values))
        return entries

    async def remove(self, caller: str, id: UUID, item: UUID) -> None:
        """Delete an item that a client has added."""
        await self._rows(delete(_items).where(_items.c.conversation_id == id, _items.c.id == item))

    async def hide(self, caller: str, id: UUID, item_id: str) -> None:
        """Delete an item of an exchange from the conversation; the exchange keeps it."""
        hidden = func.array_append(func.array_remove(_conversations.c.hidden, item_id), item_id)
        await self._rows(update(_conversations).where(*_mine(caller, id)).values(hidden=hidden))

    async def entries(
        self,
        caller: str,
        id: UUID,
        *,
        start: UUID | None = None,
        ascending: bool = True,
        limit: int = ENTRIES_AT_ONCE,
    ) -> list[Entry]:
        """Up to `limit` places of a conversation, from `start` on, itself included."""
        exchanges = select(_exchanges).where(*_said_in(caller, id))
        added = select(_items.c.id, _items.c.item).where(_items.c.conversation_id == id)
        found: list[Entry] = []
        for row in await self._rows(_some(exchanges, _exchanges.c.id, start, ascending, limit)):
            found.append(Entry(row["id"], exchange_of(row)))
        for row in await self._rows(_some(added, _items.c.id, start, ascending, limit)):
            found.append(Entry(row["id"], row["item"]))
        return sorted(found, key=_id, reverse=not ascending)[:limit]

    async def everything(self, caller: str, id: UUID, up_to: UUID | None = None) -> list[Entry]:
        """A whole conversation, oldest first, or what there was up to an exchange.

        Raises:
            ConversationTooLong: it is longer than can be answered.
        """
        found: list[Entry] = []
        size = 0
        start: UUID | None = None
        while True:
            some = await self.entries(caller, id, start=start, limit=ENTRIES_AT_ONCE)
            new = [entry for entry in some if start is None or entry.id > start]
            for entry in new:
                if up_to is not None and entry.id > up_to:
                    return found
                found.append(entry)
                size += entry.size
            if len(found) > _LONGEST or size > self._page_bytes:
                raise ConversationTooLong(param="conversation")
            if len(some) < ENTRIES_AT_ONCE:
                return found
            start = new[-1].id

    async def entry(self, caller: str, conversation: UUID | None, id: UUID) -> Entry | None:
        """One place of a conversation, or of any where none is named."""
        said = [_exchanges.c.id == id, _exchanges.c.caller == caller, _exchanges.c.endpoint == ENDPOINT]
        if conversation is not None:
            said += _said_in(caller, conversation)
        for row in await self._rows(select(_exchanges).where(*said)):
            return Entry(id, exchange_of(row))
        added = (
            select(_items.c.item)
            .join(_conversations, _conversations.c.id == _items.c.conversation_id)
            .where(_items.c.id == id, _conversations.c.caller == caller)
        )
        if conversation is not None:
            added = added.where(_items.c.conversation_id == conversation)
        for row in await self._rows(added):
            return Entry(id, row["item"])
        return None

    async def last_id(self, id: UUID) -> UUID | None:
        """The newest id in a conversation, of whatever it is."""
        found = [
            row["id"]
            for table in (_exchanges, _items)
            for row in await self._rows(
                select(table.c.id).where(table.c.conversation_id == id).order_by(table.c.id.desc()).limit(1)
            )
        ]
        return max(found, default=None)


def _mine(caller: str, id: UUID) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return _conversations.c.id == id, _conversations.c.caller == caller


def _said_in(caller: str, id: UUID) -> list[ColumnElement[bool]]:
    """Exchanges in which something was said in a conversation."""
    return [
        _exchanges.c.conversation_id == id,
        not_before(id),
        _exchanges.c.caller == caller,
        _exchanges.c.endpoint == ENDPOINT,
        _exchanges.c.outcome.in_(ANSWERED),
        _exchanges.c.deleted_at.is_(None),
    ]


def _some(query: Any, column: ColumnElement[UUID], start: UUID | None, ascending: bool, limit: int) -> Any:
    if start is not None:
        query = query.where(column >= start if ascending else column <= start)
    return query.order_by(column if ascending else column.desc()).limit(limit)


def _one(found: Sequence[RowMapping]) -> Conversation:
    if not found:
        raise ConversationNotFound(param="conversation")
    return _conversation(found[0])


def _conversation(row: RowMapping) -> Conversation:
    created = int(row["created_at"].timestamp())
    return Conversation(row["id"], created, row["metadata"], frozenset(row["hidden"]))


def _id(entry: Entry) -> UUID:
    return entry.id
