"""Let a transcript find the exchange that ended it, and list what clients asked to be stored."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns; what is there already is found by nothing new."""
    op.add_column("exchanges", sa.Column("transcript_hash", sa.Uuid))
    op.add_column(
        "exchanges", sa.Column("stored", sa.Boolean, nullable=False, server_default=sa.text("false"))
    )
    op.create_index(
        "ix_exchanges_caller_transcript_hash",
        "exchanges",
        ["caller", "transcript_hash"],
        postgresql_where=sa.text("transcript_hash IS NOT NULL"),
    )
    op.create_index(
        "ix_exchanges_caller_id_stored", "exchanges", ["caller", "id"], postgresql_where=sa.text("stored")
    )


def downgrade() -> None:
    """Remove the columns: by which transcript an exchange is found, and whether it was asked to be stored."""
    op.drop_column("exchanges", "stored")
    op.drop_column("exchanges", "transcript_hash")
