"""Create the tables of keys and of their tenants."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Create them."""
    moment = postgresql.TIMESTAMP(timezone=True)
    op.create_table(
        "tenants",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("weight", sa.Double, nullable=False, server_default=sa.text("1")),
        sa.Column("limits", postgresql.JSON, nullable=False, server_default=sa.text("'{}'")),
        sa.CheckConstraint("weight BETWEEN 0.01 AND 100", name="ck_tenants_weight"),
        sa.PrimaryKeyConstraint("name", name="pk_tenants"),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("expires_at", moment),
        sa.Column("revoked_at", moment),
        sa.Column("former_until", moment),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text), nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("former_hash", sa.LargeBinary),
        sa.Column("limits", postgresql.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.name"], name="fk_keys_tenant"),
    )
    op.create_index("ix_keys_hash", "keys", ["hash"], unique=True)
    op.create_index(
        "ix_keys_former_hash",
        "keys",
        ["former_hash"],
        unique=True,
        postgresql_where=sa.text("former_hash IS NOT NULL"),
    )
    op.create_index("ix_keys_tenant_id", "keys", ["tenant", "id"])


def downgrade() -> None:
    """Drop the tables, with every key and every tenant."""
    op.drop_table("keys")
    op.drop_table("tenants")
