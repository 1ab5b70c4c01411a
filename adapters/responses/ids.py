"""Ids as clients see them: a prefix and the hex digits of ours; of an item also its number in its response."""

import re
from dataclasses import dataclass
from uuid import UUID

from uuid_utils.compat import uuid7

_ITEM = re.compile(r"(msg|fc|fco)_([0-9a-f]{32})(?:_([0-9]{1,6}))?")
_OWN = re.compile(r"(resp|conv)_([0-9a-f]{32})")


@dataclass(frozen=True, slots=True)
class ItemId:
    """Where an item is kept."""

    of: UUID
    """The exchange that it is part of, or its own id where a client has added it to a conversation."""
    number: int | None
    """Its place in the exchange, the input counted first; None where a client has added it."""


def response_id(id: UUID) -> str:
    """A response's id; the exchange has the same one."""
    return f"resp_{id.hex}"


def conversation_id(id: UUID) -> str:
    """A conversation's id."""
    return f"conv_{id.hex}"


def own_id(text: str, prefix: str) -> UUID | None:
    """The id behind `resp_…` or `conv_…`; None where the text is no such id."""
    found = _OWN.fullmatch(text)
    return UUID(found[2]) if found and found[1] == prefix else None


def item_id_of(text: str) -> ItemId | None:
    """What an item's id tells; None where the text is no such id."""
    found = _ITEM.fullmatch(text)
    return ItemId(UUID(found[2]), int(found[3]) if found[3] else None) if found else None


def id_after(last: UUID | None, id: UUID | None = None) -> UUID:
    """An id that sorts after `last` whatever the clocks say: `id` or a new one, where that does."""
    id = id or uuid7()
    return id if last is None or id > last else UUID(int=last.int + 1)
