"""Who calls, and what they may do."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import Depends
from starlette.requests import HTTPConnection
from starlette.types import Scope

from adapters.errors import InvalidRequest

_Count = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
_Rate = Annotated[int, msgspec.Meta(ge=1, le=10**8)]  # a bucket of more is not counted exactly any more
_Places = Annotated[int, msgspec.Meta(ge=1, le=10**4)]  # each is a lease in one row


class KeyScope(StrEnum):
    """What a key may do. Reading, and everything else, is about its own tenant's things."""

    GENERATE = "generate"
    """Generate, and change or delete what is kept."""
    READ = "read"
    """Read what is kept."""
    READ_ALL = "read_all"
    """Read the log of any tenant, and the figures about all of them."""
    FEEDBACK = "feedback"
    """Say how good an answer was."""
    ADMIN = "admin"
    """Make, change and revoke anybody's keys."""


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How much may be asked for; None sets no limit."""

    requests_per_minute: _Rate | None = None
    tokens_per_minute: _Rate | None = None
    concurrent_requests: _Places | None = None
    tokens_per_day: _Count | None = None
    tokens_per_month: _Count | None = None


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Whose request it is. A tenant owns what is kept; it may have several keys."""

    tenant: str
    scopes: frozenset[KeyScope]
    key: UUID | None = None
    """The id of the key; None where no key is needed."""
    weight: float = 1.0
    """The tenant's share where tenants compete."""
    limits: Limits = Limits()
    """Of this key."""
    tenant_limits: Limits = Limits()
    """Of all keys of the tenant together."""

    def require(self, needed: KeyScope) -> None:
        """Return only if the caller may do this.

        Raises:
            MissingScope: the key does not allow it.
        """
        if needed not in self.scopes:
            raise MissingScope(needed)


LOCAL = Caller(tenant="local", scopes=frozenset(KeyScope))
"""Everybody, where no keys are needed."""
SUBPROTOCOL = "zephyr"
"""What a page that opens a websocket offers beside its key, and what it is answered."""
NOBODY = Caller(tenant="", scopes=frozenset())
"""Whoever calls what needs no key."""


class MissingScope(InvalidRequest):
    """The key does not allow this."""

    status = 403
    code = "missing_scope"

    def __init__(self, needed: KeyScope) -> None:
        super().__init__(
            f"You have insufficient permissions for this operation. Missing scopes: {needed.value}."
        )


def caller_of(scope: Scope) -> Caller:
    """Whose request this is; the gate has found it out."""
    caller: Caller = scope["zephyr.caller"]
    return caller


def permitted(scope: Scope, needed: KeyScope) -> Caller:
    """Whose request this is, if they may do this.

    Raises:
        MissingScope: they may not.
    """
    caller = caller_of(scope)
    caller.require(needed)
    return caller


async def _generator(connection: HTTPConnection) -> Caller:
    return permitted(connection.scope, KeyScope.GENERATE)


async def _reader(connection: HTTPConnection) -> Caller:
    return permitted(connection.scope, KeyScope.READ)


async def _rater(connection: HTTPConnection) -> Caller:
    return permitted(connection.scope, KeyScope.FEEDBACK)


async def _overseer(connection: HTTPConnection) -> Caller:
    return permitted(connection.scope, KeyScope.READ_ALL)


async def _administrator(connection: HTTPConnection) -> Caller:
    return permitted(connection.scope, KeyScope.ADMIN)


Generator = Annotated[Caller, Depends(_generator)]
"""The caller of a route that generates, changes or deletes."""
Reader = Annotated[Caller, Depends(_reader)]
"""The caller of a route that reads."""
Rater = Annotated[Caller, Depends(_rater)]
"""The caller of a route that says what an answer is worth."""
Overseer = Annotated[Caller, Depends(_overseer)]
"""The caller of a route that tells of all tenants."""
Administrator = Annotated[Caller, Depends(_administrator)]
"""The caller of a route about keys."""
