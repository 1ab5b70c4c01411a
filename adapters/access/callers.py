"""Who calls. Until there are keys, everybody who reaches the gateway is the local user."""

from typing import Annotated

import msgspec

LOCAL = "local"
_Count = Annotated[int, msgspec.Meta(ge=1, le=2**53)]


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How much may be asked for; None sets no limit."""

    requests_per_minute: _Count | None = None
    tokens_per_minute: _Count | None = None
    concurrent_requests: _Count | None = None
    tokens_per_day: _Count | None = None
    tokens_per_month: _Count | None = None
