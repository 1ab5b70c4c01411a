"""The tables of keys and of their tenants."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Double, ForeignKey, Index, LargeBinary, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP
from sqlalchemy.orm import Mapped, mapped_column

from adapters.database.base import Base, JsonText


class TenantRow(Base):
    """Who owns keys, and what is said with them: `caller` of an exchange is a tenant's name."""

    __tablename__ = "tenants"
    __table_args__ = (CheckConstraint("weight BETWEEN 0.01 AND 100", name="weight"),)

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    weight: Mapped[float] = mapped_column(Double, server_default=text("1"))
    limits: Mapped[bytes] = mapped_column(JsonText, server_default=text("'{}'"))


class KeyRow(Base):
    """A key. A revoked one stays, so that it is known whose it was."""

    __tablename__ = "keys"
    __table_args__ = (
        Index(None, "hash", unique=True),
        Index(None, "former_hash", unique=True, postgresql_where=text("former_hash IS NOT NULL")),
        Index(None, "tenant", "id"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    created_at: Mapped[datetime] = mapped_column(TIMESTAMP(timezone=True))
    expires_at: Mapped[datetime | None] = mapped_column(TIMESTAMP(timezone=True))
    revoked_at: Mapped[datetime | None] = mapped_column(TIMESTAMP(timezone=True))
    former_until: Mapped[datetime | None] = mapped_column(TIMESTAMP(timezone=True))
    tenant: Mapped[str] = mapped_column(Text, ForeignKey("tenants.name"))
    name: Mapped[str] = mapped_column(Text)
    prefix: Mapped[str] = mapped_column(Text)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    hash: Mapped[bytes] = mapped_column(LargeBinary)
    """SHA-256 of the key."""
    former_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Of the one before the last rotation, as long as that was to be taken as well."""
    limits: Mapped[bytes] = mapped_column(JsonText)
