"""The pairs of a stored exchange's metadata, as an index can hold them: a fixed number of bytes for each."""

from collections.abc import Mapping
from hashlib import blake2b
from uuid import UUID

_DOMAIN = b"zephyr-pairs-1"


def hashed(caller: str, metadata: Mapping[str, str]) -> list[UUID]:
    """A hash for each pair. It holds the caller, so that nobody's search meets what is another's."""
    return [_hash(caller, key, value) for key, value in metadata.items()]


def _hash(*parts: str) -> UUID:
    encoded = [part.encode() for part in parts]
    framed = b"".join(len(part).to_bytes(8, "big") + part for part in encoded)
    return UUID(bytes=blake2b(framed, digest_size=16, person=_DOMAIN).digest())
