"""Names for what is too long to be looked for itself: 16 bytes, of which nobody finds two for one name by chance."""

from hashlib import blake2b
from typing import Self
from uuid import UUID


class Naming:
    """The name of a list of parts, which may still grow. Each is framed by its length: none runs into the next."""

    __slots__ = ("_hash",)

    def __init__(self, kind: bytes) -> None:
        """`kind`, of at most 16 bytes, keeps names of different things apart."""
        self._hash = blake2b(digest_size=16, person=kind)

    def add(self, part: bytes) -> Self:
        """Take in the next part."""
        self._hash.update(len(part).to_bytes(8, "big"))
        self._hash.update(part)
        return self

    def name(self) -> UUID:
        """The name of the parts so far."""
        return UUID(bytes=self._hash.digest())

    def copy(self) -> Self:
        """Another one with the same parts, which grows by itself."""
        copy = type(self).__new__(type(self))
        copy._hash = self._hash.copy()
        return copy


def named(kind: bytes, *parts: bytes) -> UUID:
    """The name of these parts."""
    naming = Naming(kind)
    for part in parts:
        naming.add(part)
    return naming.name()
