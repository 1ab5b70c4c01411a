"""Create the tables of conversations, of responses that are open, and of the events of background streams."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "conversations",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("metadata", postgresql.JSON, nullable=False),
        sa.Column("hidden", postgresql.ARRAY(sa.Text), nullable=False, server_default=sa.text("'{}'")),
        sa.PrimaryKeyConstraint("id", name="pk_conversations"),
    )
    op.create_table(
        "conversation_items",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("conversation_id", sa.Uuid, nullable=False),
        sa.Column("item", postgresql.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_conversation_items"),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name="fk_conversation_items_conversation_id",
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        "ix_conversation_items_conversation_id_id", "conversation_items", ["conversation_id", "id"]
    )
    op.create_table(
        "open_responses",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("conversation_id", sa.Uuid),
        sa.Column("lease_until", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("background", sa.Boolean, nullable=False),
        sa.Column("started", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("cancel_requested", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("metadata", postgresql.JSON, nullable=False),
        sa.Column("parameters", postgresql.JSON, nullable=False),
        sa.Column("input", postgresql.JSON, nullable=False),
        sa.Column("error", postgresql.JSON),
        sa.PrimaryKeyConstraint("id", name="pk_open_responses"),
    )
    op.create_index(
        "ix_open_responses_conversation_id",
        "open_responses",
        ["conversation_id"],
        unique=True,
        postgresql_where=sa.text("conversation_id IS NOT NULL"),
    )
    op.create_table(
        "response_events",
        sa.Column("response_id", sa.Uuid, nullable=False),
        sa.Column("first", sa.Integer, nullable=False),
        sa.Column("last", sa.Integer, nullable=False),
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("events", postgresql.JSON, nullable=False),
        sa.PrimaryKeyConstraint("response_id", "first", name="pk_response_events"),
    )


def downgrade() -> None:
    """Drop the tables: what clients have put into conversations themselves, responses that are open, and events of
    background streams. What was said is in exchanges, and stays.
    """
    for table in ("response_events", "open_responses", "conversation_items", "conversations"):
        op.drop_table(table)
