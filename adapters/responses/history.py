"""What was said before a response, put together from exchanges and from what clients have added to conversations."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec

from adapters.conversations.errors import ConversationTooLong, ExchangeNotFound
from adapters.conversations.exchange import ANSWERED, Exchange
from adapters.conversations.repository import ExchangeRepository
from adapters.errors import InvalidRequest
from adapters.responses.conversation_repository import Conversation, ConversationRepository, Entry
from adapters.responses.errors import ConversationNotFound, ItemNotFound, ResponseNotFound
from adapters.responses.ids import item_id_of, own_id
from adapters.responses.items import Item, Reference, Shown, Written, read_item, shown
from adapters.responses.repository import ResponseRepository
from adapters.responses.requests import PromptRequest
from adapters.responses.response import ENDPOINT, facts_of


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """What a response goes on from."""

    items: Sequence[Item] = ()
    parent_id: UUID | None = None
    conversation_id: UUID | None = None


class History:
    """Finds what was said before."""

    def __init__(
        self, log: ExchangeRepository, conversations: ConversationRepository, responses: ResponseRepository
    ) -> None:
        self._log = log
        self._conversations = conversations
        self._responses = responses

    async def before(self, caller: str, request: PromptRequest) -> Earlier:
        """What was said in the request's conversation, or up to its previous response.

        Raises:
            ResponseNotFound, ConversationNotFound: there is no such thing.
            InvalidRequest: the previous response has not come to an answer.
            ConversationTooLong: there is more than can be answered.
        """
        if request.conversation_name is not None:
            return await self._conversation(caller, conversation_of(request.conversation_name))
        if request.previous_response_id is not None:
            return await self._previous(caller, request.previous_response_id)
        return Earlier()

    async def _conversation(self, caller: str, id: UUID) -> Earlier:
        conversation = await self._conversations.conversation(caller, id)
        entries = await self._conversations.everything(caller, id)
        said = [entry.id for entry in entries if isinstance(entry.what, Exchange)]
        return Earlier(
            items=visible_items(conversation, entries),
            parent_id=said[-1] if said else None,
            conversation_id=id,
        )

    async def _previous(self, caller: str, name: str) -> Earlier:
        id = own_id(name, "resp")
        if id is None:
            raise _no_previous()
        branch = await self._branch(caller, id)
        last = branch[-1]
        if last.endpoint != ENDPOINT or not last.stored:
            raise _no_previous()
        if last.outcome not in ANSWERED:
            raise _not_answered()
        items: list[Item] = []
        place = _last_in_a_conversation(branch)
        if place is not None:
            items += await self._said_up_to(caller, branch[place])
        for exchange in branch[0 if place is None else place + 1 :]:
            items += [item for _, item in items_with_ids(exchange)]
        # What clients have begun in a conversation of theirs does not go on there unless they name it.
        own = place == len(branch) - 1
        return Earlier(items=items, parent_id=id, conversation_id=None if own else last.conversation_id)

    async def _branch(self, caller: str, id: UUID) -> list[Exchange]:
        try:
            return await self._log.branch(caller, id)
        except ExchangeNotFound:
            if await self._responses.find_open(caller, id) is not None:
                raise _not_answered() from None
            raise _no_previous() from None
        except ConversationTooLong as error:
            error.param = "previous_response_id"
            raise

    async def _said_up_to(self, caller: str, exchange: Exchange) -> list[Item]:
        id = exchange.conversation_id
        entries = await self._conversations.everything(caller, id, up_to=exchange.id)
        try:
            return visible_items(await self._conversations.conversation(caller, id), entries)
        except ConversationNotFound:  # it was deleted; what was said in responses is still there
            return [item for entry in entries for _, item in items_of_entry(entry)]

    async def resolved(
        self, caller: str, written: Sequence[Written], conversation: UUID | None, place: str = "input"
    ) -> list[Written]:
        """The same items, with what they refer to in the place of references.

        Raises:
            ItemNotFound: there is no such item.
        """
        return [
            await self._item(caller, one.item, conversation, f"{place}[{number}].id")
            if isinstance(one.item, Reference)
            else one
            for number, one in enumerate(written)
        ]

    async def _item(
        self, caller: str, reference: Reference, conversation: UUID | None, place: str
    ) -> Written:
        id = item_id_of(reference.id)
        entry = await self._conversations.entry(caller, None, id.of) if id else None
        if entry is not None and _may_be_read(entry, conversation):
            for view, item in items_of_entry(entry):
                if view["id"] == reference.id:
                    return Written(item, msgspec.json.encode(view))
        raise ItemNotFound(param=place)


def conversation_of(name: str, param: str = "conversation") -> UUID:
    """A conversation's id.

    Raises:
        ConversationNotFound: the text is no such id.
    """
    id = own_id(name, "conv")
    if id is None:
        raise ConversationNotFound(param=param)
    return id


def items_with_ids(exchange: Exchange) -> list[tuple[Shown, Item]]:
    """What a response was given and what it said, as shown and as it is; of a deleted one nothing is left."""
    if exchange.deleted_at is not None:
        return []
    facts = facts_of(exchange)
    return [*facts.shown_inputs, *facts.shown_outputs]


def items_of_entry(entry: Entry) -> list[tuple[Shown, Item]]:
    """The same of a place in a conversation."""
    if isinstance(entry.what, Exchange):
        return items_with_ids(entry.what)
    item = read_item(entry.what, "item").item
    assert not isinstance(item, Reference)
    return [(shown(item, entry.id.hex), item)]


def visible(conversation: Conversation, entry: Entry) -> list[tuple[Shown, Item]]:
    """The same without what was deleted from the conversation."""
    return [pair for pair in items_of_entry(entry) if pair[0]["id"] not in conversation.hidden]


def visible_items(conversation: Conversation, entries: Iterable[Entry]) -> list[Item]:
    """All that is said in a conversation."""
    return [item for entry in entries for _, item in visible(conversation, entry)]


def _last_in_a_conversation(branch: Sequence[Exchange]) -> int | None:
    """The place of the last exchange that was made in a conversation of the Conversations API."""
    made_there = [
        place for place, exchange in enumerate(branch) if "conversation" in facts_of(exchange).fields
    ]
    return made_there[-1] if made_there else None


def _may_be_read(entry: Entry, conversation: UUID | None) -> bool:
    if not isinstance(entry.what, Exchange):
        return True
    return entry.what.stored or entry.what.conversation_id == conversation


def _no_previous() -> ResponseNotFound:
    return ResponseNotFound(param="previous_response_id", code="previous_response_not_found")


def _not_answered() -> InvalidRequest:
    return InvalidRequest(
        "This response has not come to an answer, so that nothing can follow it.",
        param="previous_response_id",
    )
