"""Create the table of what limited keys and tenants have used up."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Create it."""
    op.create_table(
        "limit_states",
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("day_tokens", sa.BigInteger, nullable=False),
        sa.Column("month_tokens", sa.BigInteger, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("leases", postgresql.ARRAY(sa.Uuid), nullable=False, server_default=sa.text("'{}'")),
        sa.Column(
            "lease_ends", postgresql.ARRAY(sa.BigInteger), nullable=False, server_default=sa.text("'{}'")
        ),
        sa.PrimaryKeyConstraint("subject", name="pk_limit_states"),
    )


def downgrade() -> None:
    """Drop the table: what limited keys and tenants have used up. They begin anew."""
    op.drop_table("limit_states")
