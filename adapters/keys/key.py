"""What is known of a key. The key itself is shown once and kept by nobody: only its hash is."""

import hashlib
import re
import secrets
from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from pydantic import SecretStr

from adapters.access.callers import KeyScope, Limits

_SHAPE = "sk-zephyr-"
_RANDOM_BYTES = 32
LENGTH = len(_SHAPE) + 43
"""Characters of a key: its beginning, and 256 random bits in base64url."""
_SHOWN = len(_SHAPE) + 4

NAME = "[A-Za-z0-9][A-Za-z0-9._@-]{0,63}"
"""Names of tenants and of keys."""
Name = Annotated[str, msgspec.Meta(pattern=rf"^{NAME}\Z")]
Weight = Annotated[float, msgspec.Meta(ge=0.01, le=100)]
State = Literal["valid", "expired", "revoked"]


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key, as it is listed."""

    id: UUID
    tenant: str
    name: str
    prefix: str
    """How the key begins, for whoever has several to tell apart."""
    scopes: tuple[KeyScope, ...]
    limits: Limits
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    former_until: datetime | None
    """Until when the secret that was valid before a rotation is valid too."""

    @property
    def state(self) -> State:
        """Whether it can be used now."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= datetime.now(UTC) else "valid"


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key that is to be made."""

    tenant: Name
    name: Name | None = None
    """None: as its tenant."""
    scopes: tuple[KeyScope, ...] = (KeyScope.GENERATE, KeyScope.READ, KeyScope.FEEDBACK)
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    limits: Limits = Limits()


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """Who owns keys and what is said with them."""

    name: str
    weight: float = 1.0
    limits: Limits = Limits()


def new_secret() -> SecretStr:
    """A key that nobody had before."""
    return SecretStr(_SHAPE + secrets.token_urlsafe(_RANDOM_BYTES))


def digest(secret: bytes) -> bytes:
    """What is kept of a key. One of 256 random bits needs no slow hash: there is nothing to guess."""
    return hashlib.sha256(secret).digest()


def shown(secret: SecretStr) -> str:
    """As much of a key as may be shown again."""
    return secret.get_secret_value()[:_SHOWN]


def is_name(text: str) -> bool:
    """Whether a tenant or a key may be called so."""
    return re.fullmatch(NAME, text) is not None
