"""Who calls. Until there are keys, everybody who reaches the gateway is the local user."""

from typing import Annotated
from uuid import UUID

import msgspec

LOCAL = "local"
_Count = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
_Rate = Annotated[int, msgspec.Meta(ge=1, le=10**8)]  # what a bucket is counted in fits into 64 bits
_Places = Annotated[int, msgspec.Meta(ge=1, le=10**4)]  # each is a lease in one row


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
    key: UUID | None = None
    """The id of the key; None where no key is needed."""
    limits: Limits = Limits()
    """Of this key."""
    tenant_limits: Limits = Limits()
    """Of all keys of the tenant together."""
