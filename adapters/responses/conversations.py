"""Conversations that clients keep here: what was said in responses, and what they have added themselves.

https://platform.openai.com/docs/api-reference/conversations. What was said in a response stands in its exchange and
nowhere else; a conversation is read by putting exchanges and added items in the order of their ids.
"""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

import msgspec
from uuid_utils.compat import uuid7

from adapters.access.callers import Caller
from adapters.completions.requests import Metadata
from adapters.conversations.exchange import Exchange
from adapters.conversations.schemas import listed
from adapters.errors import InvalidRequest
from adapters.responses.conversation_repository import (
    ENTRIES_AT_ONCE,
    Conversation,
    ConversationRepository,
    Entry,
)
from adapters.responses.errors import ItemNotFound
from adapters.responses.history import History, items_of_entry, visible
from adapters.responses.holds import Holds
from adapters.responses.ids import ItemId, conversation_id, item_id_of
from adapters.responses.items import Shown, read_item
from adapters.responses.pages import ItemsQuery
from adapters.responses.response import Facts

_MOST_ITEMS_AT_ONCE = 20  # https://platform.openai.com/docs/api-reference/conversations/create-items


RawItem = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "object"})]


class ConversationRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /v1/conversations`."""

    items: list[RawItem] | None = None
    metadata: Metadata | None = None


class MetadataRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /v1/conversations/{id}`."""

    metadata: Metadata | None


class ItemsRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /v1/conversations/{id}/items`."""

    items: list[RawItem]


class Conversations:
    """What clients do with conversations."""

    def __init__(
        self, *, repository: ConversationRepository, holds: Holds, history: History, page_bytes: int
    ) -> None:
        self._repository = repository
        self._holds = holds
        self._history = history
        self._page_bytes = page_bytes

    async def create(self, caller: Caller, request: ConversationRequest) -> Shown:
        """A new one."""
        items = await self._written(caller, request.items or ())
        metadata = msgspec.json.encode(request.metadata or {})
        return shown_conversation(await self._repository.create(caller.tenant, metadata, items))

    async def retrieve(self, caller: Caller, id: UUID) -> Shown:
        """One of them."""
        return shown_conversation(await self._repository.conversation(caller.tenant, id))

    async def update(self, caller: Caller, id: UUID, request: MetadataRequest) -> Shown:
        """Put other metadata in the place of its own."""
        metadata = msgspec.json.encode(request.metadata or {})
        return shown_conversation(await self._repository.set_metadata(caller.tenant, id, metadata))

    async def delete(self, caller: Caller, id: UUID) -> Shown:
        """Delete it, and what clients have added to it; what responses said stays theirs."""
        async with self._holds.conversation(caller.tenant, _change(), id):
            await self._repository.delete(caller.tenant, id)
        return {"id": conversation_id(id), "object": "conversation.deleted", "deleted": True}

    async def add(self, caller: Caller, id: UUID, request: ItemsRequest) -> Shown:
        """Add items at its end."""
        if not request.items:
            raise InvalidRequest("There are no items.", param="items", code="missing_parameter")
        items = await self._written(caller, request.items)
        async with self._holds.conversation(caller.tenant, _change(), id):
            entries = await self._repository.add(id, items)
        return listed([view for entry in entries for view, _ in items_of_entry(entry)], has_more=False)

    async def items(self, caller: Caller, id: UUID, query: ItemsQuery) -> Shown:
        """A page of what is in it. As long texts make it shorter, it may end before `limit`.

        Raises:
            ItemNotFound: there is no item `after`.
        """
        conversation = await self._repository.conversation(caller.tenant, id)
        ascending = query.order == "asc"
        start = None
        if query.after is not None:
            start = (await self._entry(caller, conversation, query.after, "after")).id
        found: list[Shown] = []
        size = 0
        while True:
            entries = await self._repository.entries(
                caller.tenant, id, start=start, ascending=ascending, limit=ENTRIES_AT_ONCE
            )
            new = [entry for entry in entries if not found or entry.id != start]
            for entry in new:
                found += _in_order(conversation, entry, query, ascending)
                size += entry.size
                if len(found) > query.limit or (size > self._page_bytes and found):
                    more = len(found) > query.limit or entry is not new[-1]
                    return listed(found[: query.limit], has_more=more or len(entries) == ENTRIES_AT_ONCE)
            if len(entries) < ENTRIES_AT_ONCE:
                return listed(found, has_more=False)
            start = entries[-1].id

    async def item(self, caller: Caller, id: UUID, item: str) -> Shown:
        """One item.

        Raises:
            ItemNotFound: it holds no such item.
        """
        conversation = await self._repository.conversation(caller.tenant, id)
        entry = await self._entry(caller, conversation, item, "item_id")
        return next(view for view, _ in visible(conversation, entry) if view["id"] == item)

    async def remove(self, caller: Caller, id: UUID, item: str) -> Shown:
        """Delete an item from it; what a response said stays in the response.

        Raises:
            ItemNotFound: it holds no such item.
        """
        conversation = await self._repository.conversation(caller.tenant, id)
        entry = await self._entry(caller, conversation, item, "item_id")
        if isinstance(entry.what, Exchange):
            await self._repository.hide(caller.tenant, id, item)
        else:
            await self._repository.remove(caller.tenant, id, entry.id)
        return shown_conversation(conversation)

    async def _written(self, caller: Caller, items: Sequence[msgspec.Raw]) -> list[bytes]:
        if len(items) > _MOST_ITEMS_AT_ONCE:
            raise InvalidRequest(f"At most {_MOST_ITEMS_AT_ONCE} items are added at once.", param="items")
        written = [read_item(bytes(item), f"items[{number}]") for number, item in enumerate(items)]
        return [one.text for one in await self._history.resolved(caller.tenant, written, None, "items")]

    async def _entry(self, caller: Caller, conversation: Conversation, item: str, param: str) -> Entry:
        id: ItemId | None = item_id_of(item)
        entry = await self._repository.entry(caller.tenant, conversation.id, id.of) if id else None
        if entry is None or item not in {view["id"] for view, _ in visible(conversation, entry)}:
            raise ItemNotFound(param=param)
        return entry


def shown_conversation(conversation: Conversation) -> Shown:
    """The Conversation object."""
    return {
        "id": conversation_id(conversation.id),
        "object": "conversation",
        "created_at": conversation.created_at,
        "metadata": msgspec.Raw(conversation.metadata),
    }


def _change() -> Facts:
    """Who holds a conversation to change it is no response."""
    nothing = b"{}"
    return Facts(
        id=uuid7(), status="in_progress", model="", input=b"[]", parameters=nothing, metadata=nothing
    )


def _in_order(conversation: Conversation, entry: Entry, query: ItemsQuery, ascending: bool) -> list[Shown]:
    """The items of one place; of that of `after` only what follows it."""
    views = [view for view, _ in visible(conversation, entry)]
    if not ascending:
        views.reverse()
    ids = [view["id"] for view in views]
    return views[ids.index(query.after) + 1 :] if query.after in ids else views
