"""Find stored exchanges by their metadata, and let an exchange be deleted."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the columns; what was stored before is found by its metadata only after these are set anew."""
    op.add_column("exchanges", sa.Column("deleted_at", postgresql.TIMESTAMP(timezone=True)))
    op.add_column("exchanges", sa.Column("metadata_pairs", postgresql.ARRAY(sa.Uuid)))
    op.create_index(
        "ix_exchanges_metadata_pairs",
        "exchanges",
        ["metadata_pairs"],
        postgresql_using="gin",
        postgresql_where=sa.text("metadata_pairs IS NOT NULL"),
    )


def downgrade() -> None:
    """Remove the columns: when an exchange was deleted, and by which metadata a stored one is found.

    What was deleted stays deleted, and looks like an exchange in which nothing was said.
    """
    op.drop_column("exchanges", "metadata_pairs")
    op.drop_column("exchanges", "deleted_at")
