"""Create the table of exchanges."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

_OUTCOMES = "'completed', 'length', 'failed', 'cancelled', 'client_gone'"
_TEXTS = ("error", "metadata", "parameters", "input", "answer")


def upgrade() -> None:
    """Create it."""
    op.create_table(
        "exchanges",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("conversation_id", sa.Uuid, nullable=False),
        sa.Column("parent_id", sa.Uuid),
        sa.Column("started_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("total_ms", sa.Double, nullable=False),
        sa.Column("first_token_ms", sa.Double),
        sa.Column("prompt_tokens", sa.Integer),
        sa.Column("cached_tokens", sa.Integer),
        sa.Column("completion_tokens", sa.Integer),
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("door", sa.Text, nullable=False),
        sa.Column("endpoint", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("finish_reason", sa.Text),
        sa.Column("error", postgresql.JSON),
        sa.Column("metadata", postgresql.JSON, nullable=False),
        sa.Column("parameters", postgresql.JSON, nullable=False),
        sa.Column("input", postgresql.JSON, nullable=False),
        sa.Column("answer", postgresql.JSON),
        sa.PrimaryKeyConstraint("id", name="pk_exchanges"),
        sa.CheckConstraint(f"outcome IN ({_OUTCOMES})", name=op.f("ck_exchanges_outcome")),
    )
    op.create_index("ix_exchanges_caller_id", "exchanges", ["caller", "id"])
    op.create_index("ix_exchanges_conversation_id_id", "exchanges", ["conversation_id", "id"])
    op.create_index(
        "ix_exchanges_parent_id",
        "exchanges",
        ["parent_id"],
        postgresql_where=sa.text("parent_id IS NOT NULL"),
    )
    _compress_with_lz4()


def downgrade() -> None:
    """Drop the table, with every exchange in it."""
    op.drop_table("exchanges")


def _compress_with_lz4() -> None:
    """Long texts compress several times faster with lz4 than with the default; not every server was built with it."""
    known = "SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
    if op.get_bind().scalar(sa.text(known)):
        for column in _TEXTS:
            op.execute(f"ALTER TABLE exchanges ALTER COLUMN {column} SET COMPRESSION lz4")
