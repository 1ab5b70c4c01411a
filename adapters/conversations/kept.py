"""An answer that is kept for whoever sends the same request with the same `Idempotency-Key` again."""

from datetime import datetime
from uuid import UUID

import msgspec

from adapters.conversations.naming import named

_KIND = b"zephyr-key-1"


class KeptAnswer(msgspec.Struct, frozen=True, kw_only=True, tag="kept_answer", tag_field="record"):
    """A whole answer, and for which request it is."""

    caller: str
    key: str
    """The `Idempotency-Key`."""
    fingerprint: UUID
    """Names the request: its address, its content type and its body."""
    exchange_id: UUID
    """The id of the request that made the answer; of its exchange, where it is a single one."""
    holder: UUID
    """A UUIDv7 of the claim under which the answer was made, which no exchange has."""
    expires_at: datetime
    """Until when it is kept, with time zone."""
    answer: bytes
    """Headers and body, as `adapters.idempotency.answer` writes them."""


def place_of(caller: str, key: str) -> UUID:
    """The id under which a kept answer is found in the spool."""
    return named(_KIND, caller.encode(), key.encode())
