"""Create the table of feedback, and let exchanges be found by their words: those that are written from now on."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create both."""
    op.create_table(
        "feedback",
        sa.Column("exchange_id", sa.Uuid, nullable=False),
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("given_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("preferred_over", sa.Uuid),
        sa.Column("rating", sa.SmallInteger),
        sa.Column("comment", sa.Text),
        sa.PrimaryKeyConstraint("exchange_id", "caller", name="pk_feedback"),
        sa.CheckConstraint("rating BETWEEN -1 AND 1", name=op.f("ck_feedback_rating")),
    )
    op.add_column("exchanges", sa.Column("words", postgresql.TSVECTOR))
    op.create_index("ix_exchanges_words", "exchanges", ["words"], postgresql_using="gin")


def downgrade() -> None:
    """Drop the table of feedback, with everything in it, and the words by which exchanges are found."""
    op.drop_column("exchanges", "words")
    op.drop_table("feedback")
