"""What counts: the same for PostgreSQL, for Redis or Valkey, and for one gateway by itself."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

import msgspec

from adapters.access.callers import Limits
from adapters.limits.state import State


class StoreAway(Exception):
    """The store did not do what it was asked, or nobody knows whether it did."""


FIELDS = (
    "requests_per_minute",
    "tokens_per_minute",
    "concurrent_requests",
    "tokens_per_day",
    "tokens_per_month",
)
"""The limits in the order in which stores are told of them."""


class Subject(msgspec.Struct, frozen=True):
    """A key or a tenant, with its limits."""

    name: str
    limits: Limits


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """One request that is to begin."""

    subjects: tuple[Subject, ...]
    """All of them must allow it; those that have no limits are left out."""
    tokens: int
    """What it may use at most, by our estimate."""
    lease: UUID
    """Its place among those that run."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a store says to a demand."""

    taken: bool
    """Whether all of it was taken; otherwise none was."""
    states: tuple[State, ...]
    """Of each subject, before, all at the moment of the answer."""


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a request that had begun."""

    subjects: tuple[Subject, ...]
    lease: UUID
    taken_at: int
    reserved: int
    used: int
    requests: int = 1
    """0 if it was refused after all."""


class Store(Protocol):
    """Where is counted what all gateways give away. Every method raises StoreAway."""

    async def take(self, demand: Demand) -> Answer:
        """Take all that is asked for, or nothing."""

    async def settle(self, settlement: Settlement) -> None:
        """Count what was used instead of what was reserved, and free the place."""

    async def renew(self, leases: Sequence[tuple[str, UUID]]) -> None:
        """Give places that are still needed, each of a subject, another time to live."""

    async def forget_idle(self) -> None:
        """Forget subjects of which nothing counts any more."""

    async def close(self) -> None:
        """Close what it has opened itself."""
