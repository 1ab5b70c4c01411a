"""The table of what limited keys and tenants have used up."""

from uuid import UUID

from sqlalchemy import BigInteger, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from adapters.database.base import Base


class LimitStateRow(Base):
    """One key or tenant: `adapters.limits.state.State`, and a lease for each of its requests that run.

    All of it is one row, so that one lock makes it one's own, and a new day overwrites the old one's count.
    """

    __tablename__ = "limit_states"

    at: Mapped[int] = mapped_column(BigInteger)
    """In microseconds since 1970, as are the ends of the leases."""
    requests: Mapped[int] = mapped_column(BigInteger)
    tokens: Mapped[int] = mapped_column(BigInteger)
    day_tokens: Mapped[int] = mapped_column(BigInteger)
    month_tokens: Mapped[int] = mapped_column(BigInteger)
    subject: Mapped[str] = mapped_column(Text, primary_key=True)
    leases: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), server_default=text("'{}'"))
    lease_ends: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), server_default=text("'{}'"))
    """Of each lease, when it ends unless it is renewed."""
