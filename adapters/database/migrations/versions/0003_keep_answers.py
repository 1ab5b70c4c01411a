"""Create the table of claims on idempotency keys and of the answers that are kept under them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create it."""
    op.create_table(
        "idempotent_answers",
        sa.Column("fingerprint", sa.Uuid, nullable=False),
        sa.Column("exchange_id", sa.Uuid, nullable=False),
        sa.Column("holder", sa.Uuid, nullable=False),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("answer", sa.LargeBinary),
        sa.PrimaryKeyConstraint("caller", "key", name="pk_idempotent_answers"),
    )
    op.create_index("ix_idempotent_answers_exchange_id", "idempotent_answers", ["exchange_id"])
    op.create_index("ix_idempotent_answers_expires_at", "idempotent_answers", ["expires_at"])
    # As in 0001. Streams repeat themselves in every event.
    known = "SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
    if op.get_bind().scalar(sa.text(known)):
        op.execute("ALTER TABLE idempotent_answers ALTER COLUMN answer SET COMPRESSION lz4")


def downgrade() -> None:
    """Drop the table, with every answer that is kept for an Idempotency-Key."""
    op.drop_table("idempotent_answers")
