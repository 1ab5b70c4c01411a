"""Partition the exchanges by time, so that old ones are dropped and not deleted, and new ones stay quick to find.

The table as it is becomes the first of the partitions: nothing is copied, but the table is read once, to see that every id is
where it belongs. Going down copies everything back.
"""

import re
from datetime import UTC, datetime
from uuid import UUID

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_BY_TRANSCRIPT = "ix_exchanges_caller_transcript_hash"


def upgrade() -> None:
    """Make `exchanges_first`, which is all that there is, and `exchanges_last`, for what comes after this month."""
    _let_transcripts_be_found_newest_first()
    indexes = _indexes()
    op.rename_table("exchanges", "exchanges_first")
    for name in ("pk_exchanges", *indexes):
        op.execute(f"ALTER INDEX {name} RENAME TO {name}_first")
    op.execute(
        "CREATE TABLE exchanges (LIKE exchanges_first INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMPRESSION, "
        "CONSTRAINT pk_exchanges PRIMARY KEY (id)) PARTITION BY RANGE (id)"
    )
    for statement in indexes.values():
        op.execute(statement)
    next_month = _start_of_next_month()
    op.execute(
        f"CREATE TABLE exchanges_last PARTITION OF exchanges FOR VALUES FROM ('{next_month}') TO (MAXVALUE)"
    )
    _move("exchanges_first", "exchanges_last", f"WHERE id >= '{next_month}'")
    op.execute(
        f"ALTER TABLE exchanges ATTACH PARTITION exchanges_first FOR VALUES FROM (MINVALUE) TO ('{next_month}')"
    )


def downgrade() -> None:
    """Make one table of all partitions. Nothing is lost; everything is copied, and the log locked meanwhile."""
    indexes = _indexes()
    op.rename_table("exchanges", "exchanges_partitioned")
    for name in ("pk_exchanges", *indexes):
        op.execute(f"ALTER INDEX {name} RENAME TO {name}_partitioned")
    op.execute(
        "CREATE TABLE exchanges (LIKE exchanges_partitioned INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING COMPRESSION)"
    )
    op.execute("INSERT INTO exchanges SELECT * FROM exchanges_partitioned")
    op.execute("DROP TABLE exchanges_partitioned")
    op.execute("ALTER TABLE exchanges ADD CONSTRAINT pk_exchanges PRIMARY KEY (id)")
    for statement in indexes.values():
        op.execute(statement)
    op.drop_index(f"{_BY_TRANSCRIPT}_id", "exchanges")
    _index_transcripts(_BY_TRANSCRIPT, "caller", "transcript_hash")


def _let_transcripts_be_found_newest_first() -> None:
    """With the id in the index, the newest partition that has the transcript ends the search."""
    op.drop_index(_BY_TRANSCRIPT, "exchanges")
    _index_transcripts(f"{_BY_TRANSCRIPT}_id", "caller", "transcript_hash", "id")


def _index_transcripts(name: str, *columns: str) -> None:
    op.create_index(name, "exchanges", list(columns), postgresql_where=sa.text("transcript_hash IS NOT NULL"))


def _indexes() -> dict[str, str]:
    """What makes each index of the table, but for the primary key's."""
    query = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'exchanges' AND schemaname = current_schema()"
    found = op.get_bind().execute(sa.text(query))
    return {name: re.sub(" ON ONLY ", " ON ", made) for name, made in found if name != "pk_exchanges"}


def _move(source: str, target: str, which: str) -> None:
    op.execute(
        f"WITH moved AS (DELETE FROM {source} {which} RETURNING *) INSERT INTO {target} SELECT * FROM moved"  # noqa: S608
    )


def _start_of_next_month() -> UUID:
    """The first id of the month after this one (UUIDv7: milliseconds in the first 48 bits)."""
    now = datetime.now(UTC)
    start = datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)
    return UUID(int=int(start.timestamp() * 1000) << 80)
