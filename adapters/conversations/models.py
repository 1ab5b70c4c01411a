"""The tables of exchanges, of feedback on them, of conversations' titles, and of kept answers."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Double,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from adapters.conversations.exchange import Outcome
from adapters.database.base import Base, JsonText

_OUTCOMES = ", ".join(f"'{outcome}'" for outcome in Outcome)


class ExchangeRow(Base):
    """One exchange, field for field; columns of fixed width come first, so that a row has no gaps.

    `parent_id` is no foreign key: what is said is kept even where its parent is not (yet). `metadata_pairs` and `words`
    are no facts of their own: they let what is stored be found by its metadata (`adapters.conversations.pairs`; null
    elsewhere), and everything by what was said (`adapters.conversations.said`).
    """

    __tablename__ = "exchanges"
    __table_args__ = (
        CheckConstraint(f"outcome IN ({_OUTCOMES})", name="outcome"),
        Index(None, "caller", "id"),
        Index(None, "conversation_id", "id"),
        Index(None, "parent_id", postgresql_where=text("parent_id IS NOT NULL")),
        Index(None, "caller", "transcript_hash", "id", postgresql_where=text("transcript_hash IS NOT NULL")),
        Index("ix_exchanges_caller_id_stored", "caller", "id", postgresql_where=text("stored")),
        Index(
            None,
            "metadata_pairs",
            postgresql_using="gin",
            postgresql_where=text("metadata_pairs IS NOT NULL"),
        ),
        Index(None, "words", postgresql_using="gin"),
        {"postgresql_partition_by": "RANGE (id)"},  # its parts: `adapters.conversations.partitions`
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    conversation_id: Mapped[UUID] = mapped_column(Uuid)
    parent_id: Mapped[UUID | None] = mapped_column(Uuid)
    started_at: Mapped[datetime] = mapped_column(TIMESTAMP(timezone=True))
    total_ms: Mapped[float] = mapped_column(Double)
    first_token_ms: Mapped[float | None] = mapped_column(Double)
    prompt_tokens: Mapped[int | None] = mapped_column(Integer)
    cached_tokens: Mapped[int | None] = mapped_column(Integer)
    completion_tokens: Mapped[int | None] = mapped_column(Integer)
    caller: Mapped[str] = mapped_column(Text)
    door: Mapped[str] = mapped_column(Text)
    endpoint: Mapped[str] = mapped_column(Text)
    model: Mapped[str] = mapped_column(Text)
    fingerprint: Mapped[str | None] = mapped_column(Text)
    outcome: Mapped[str] = mapped_column(Text)
    finish_reason: Mapped[str | None] = mapped_column(Text)
    error: Mapped[bytes | None] = mapped_column(JsonText)
    metadata_: Mapped[bytes] = mapped_column("metadata", JsonText)
    parameters: Mapped[bytes] = mapped_column(JsonText)
    input: Mapped[bytes] = mapped_column(JsonText)
    answer: Mapped[bytes | None] = mapped_column(JsonText)
    transcript_hash: Mapped[UUID | None] = mapped_column(Uuid)
    stored: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    deleted_at: Mapped[datetime | None] = mapped_column(TIMESTAMP(timezone=True))
    metadata_pairs: Mapped[list[UUID] | None] = mapped_column(ARRAY(Uuid))
    words: Mapped[str | None] = mapped_column(TSVECTOR)


class FeedbackRow(Base):
    """What a caller thinks of an exchange of its own. No foreign key: partitions are dropped without looking here."""

    __tablename__ = "feedback"
    __table_args__ = (CheckConstraint("rating BETWEEN -1 AND 1", name="rating"),)

    exchange_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    caller: Mapped[str] = mapped_column(Text, primary_key=True)
    given_at: Mapped[datetime] = mapped_column(TIMESTAMP(timezone=True))
    preferred_over: Mapped[UUID | None] = mapped_column(Uuid)
    rating: Mapped[int | None] = mapped_column(SmallInteger)
    comment: Mapped[str | None] = mapped_column(Text)


class ConversationTitleRow(Base):
    """What a caller calls a conversation. No foreign key: a conversation is its exchanges, and has no row of its own."""

    __tablename__ = "conversation_titles"

    conversation_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    caller: Mapped[str] = mapped_column(Text, primary_key=True)
    title: Mapped[str] = mapped_column(Text)


class IdempotentAnswerRow(Base):
    """A key that is claimed, or the answer that was made under it."""

    __tablename__ = "idempotent_answers"
    __table_args__ = (Index(None, "exchange_id"), Index(None, "expires_at"))

    fingerprint: Mapped[UUID] = mapped_column(Uuid)
    exchange_id: Mapped[UUID] = mapped_column(Uuid)
    holder: Mapped[UUID] = mapped_column(Uuid)
    expires_at: Mapped[datetime] = mapped_column(TIMESTAMP(timezone=True))
    """From then on the row counts for nothing: the end of the claim's lease, or of the time that the answer is kept."""
    caller: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    answer: Mapped[bytes | None] = mapped_column(LargeBinary)
    """None while it is being made."""
