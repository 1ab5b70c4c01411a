"""The tables of what exchanges do not hold: responses while they are open, and what clients keep in conversations."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, ForeignKey, Index, Integer, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP
from sqlalchemy.orm import Mapped, mapped_column

from adapters.database.base import Base, JsonText


class ConversationRow(Base):
    """A conversation. What is said in it is in exchanges, what clients have added themselves in its items."""

    __tablename__ = "conversations"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    created_at: Mapped[datetime] = mapped_column(TIMESTAMP(timezone=True))
    caller: Mapped[str] = mapped_column(Text)
    metadata_: Mapped[bytes] = mapped_column("metadata", JsonText)
    hidden: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    """Ids of items of exchanges that were deleted from the conversation."""


class ConversationItemRow(Base):
    """An item that a client has added to a conversation."""

    __tablename__ = "conversation_items"
    __table_args__ = (Index(None, "conversation_id", "id"),)

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    conversation_id: Mapped[UUID] = mapped_column(Uuid, ForeignKey("conversations.id", ondelete="CASCADE"))
    item: Mapped[bytes] = mapped_column(JsonText)


class OpenResponseRow(Base):
    """A response that is being made and that others must know of: it is in the background, or in a conversation.

    It is there until the exchange is. One that stays, its lease over, belongs to a gateway that has ended.
    """

    __tablename__ = "open_responses"
    __table_args__ = (
        # At most one response at a time is made in a conversation.
        Index(None, "conversation_id", unique=True, postgresql_where=text("conversation_id IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    conversation_id: Mapped[UUID | None] = mapped_column(Uuid)
    """The conversation that it holds."""
    lease_until: Mapped[datetime] = mapped_column(TIMESTAMP(timezone=True))
    background: Mapped[bool] = mapped_column(Boolean)
    started: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    cancel_requested: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    caller: Mapped[str] = mapped_column(Text)
    model: Mapped[str] = mapped_column(Text)
    metadata_: Mapped[bytes] = mapped_column("metadata", JsonText)
    parameters: Mapped[bytes] = mapped_column(JsonText)
    input: Mapped[bytes] = mapped_column(JsonText)
    error: Mapped[bytes | None] = mapped_column(JsonText)
    """Why it ended without an exchange."""


class ResponseEventsRow(Base):
    """Events of a background stream, some at a time, for whoever reads it later or from another gateway."""

    __tablename__ = "response_events"

    response_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    first: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    """The sequence number of the first of them."""
    last: Mapped[int] = mapped_column(Integer)
    caller: Mapped[str] = mapped_column(Text)
    events: Mapped[bytes] = mapped_column(JsonText)
    """JSON array."""
