"""The pairs of a stored exchange's metadata, as an index can hold them: a fixed number of bytes for each."""

from collections.abc import Mapping
from uuid import UUID

from adapters.conversations.naming import named

_KIND = b"zephyr-pairs-1"


def hashed(caller: str, metadata: Mapping[str, str]) -> list[UUID]:
    """A name for each pair. It holds the caller, so that nobody's search meets what is another's."""
    return [named(_KIND, caller.encode(), key.encode(), value.encode()) for key, value in metadata.items()]
