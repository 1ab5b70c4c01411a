"""Create the table of the titles that callers give to conversations."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
gateways_from = "0009"


def upgrade() -> None:
    """Create it."""
    op.create_table(
        "conversation_titles",
        sa.Column("conversation_id", sa.Uuid, nullable=False),
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", "caller", name="pk_conversation_titles"),
    )


def downgrade() -> None:
    """Drop the table, with every title that was given to a conversation."""
    op.drop_table("conversation_titles")
