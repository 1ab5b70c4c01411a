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


def downgrade() -> None:
    """Drop it, with everything in it."""
    op.drop_table("idempotent_answers")
