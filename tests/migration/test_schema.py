"""The migrations make what the models say, can be undone, and never run twice at once."""

import asyncio
from collections import Counter
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import pool
from sqlalchemy.ext.asyncio import create_async_engine

from adapters.conversations.models import ExchangeRow
from adapters.database.migrate import CannotMigrate, migrate
from adapters.database.session import connect
from adapters.keys.models import KeyRow
from adapters.limits.models import LimitStateRow
from adapters.responses.models import OpenResponseRow
from tests.databases import fetch, log_settings

_OURS = (
    """c.relnamespace = 'public'::regnamespace AND c.relname <> 'alembic_version' AND NOT c.relispartition"""
)
_SCHEMA = {  # a partition is of its table's kind, or it would not be one
    "columns": f"""
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull,
            pg_get_expr(d.adbin, d.adrelid)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
            LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
        WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND {_OURS}
        ORDER BY c.relname, a.attnum""",
    "partitioned": f"SELECT c.relname, pg_get_partkeydef(c.oid) FROM pg_class c WHERE c.relkind = 'p' AND {_OURS} ORDER BY 1",
    "constraints": f"""
        SELECT c.relname, o.conname, pg_get_constraintdef(o.oid) AS definition
        FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid WHERE {_OURS} ORDER BY 1, 2""",
    "indexes": f"""
        SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid), i.indisvalid
        FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE {_OURS} ORDER BY 1""",
}
_TABLES = {
    "exchanges": 26,
    "feedback": 6,
    "conversation_titles": 3,
    "idempotent_answers": 7,
    "conversations": 5,
    "conversation_items": 3,
    "open_responses": 12,
    "response_events": 5,
    "keys": 12,
    "tenants": 3,
    "limit_states": 8,
}
"""Each table's number of columns."""


async def test_the_migrations_make_what_the_models_say(database_url: str, empty_database_url: str) -> None:
    """Columns in their order, types, constraints and indexes are the same by either way."""
    settings = log_settings(empty_database_url)
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: connect(settings), poolclass=pool.NullPool
    )
    async with engine.begin() as connection:
        await connection.run_sync(ExchangeRow.metadata.create_all)
        for table in (OpenResponseRow, KeyRow, LimitStateRow):
            assert table.metadata is ExchangeRow.metadata
    migrated, modelled = await schema_of(database_url), await schema_of(empty_database_url)
    assert Counter(table for table, *_ in migrated["columns"]) == _TABLES
    assert migrated["partitioned"] == [("exchanges", "RANGE (id)")]
    assert migrated == modelled


async def test_gateways_that_start_together_migrate_one_after_the_other(empty_database_url: str) -> None:
    """Five at once all succeed."""
    await asyncio.gather(*(migrate(log_settings(empty_database_url)) for _ in range(5)))
    assert len((await schema_of(empty_database_url))["columns"]) == sum(_TABLES.values())


async def test_a_database_that_another_migrates_is_not_waited_for_without_end(
    empty_database_url: str,
) -> None:
    """The lock is waited for as long as was said, and then there is a sentence about it."""
    holder = await asyncpg.connect(empty_database_url)
    await holder.execute("SELECT pg_advisory_lock(x'7A657068'::bigint)")
    with pytest.raises(CannotMigrate, match="another program is migrating"):
        await migrate(log_settings(empty_database_url), patience=0.5)
    await holder.close()


async def test_a_database_that_is_not_there_is_waited_for(empty_database_url: str, tmp_path: Path) -> None:
    """One that stays away, or will not let us in, ends the wait with its reason and without the password."""
    away = f"postgresql://nobody:hidden@/nothing?host={tmp_path}"
    with pytest.raises(CannotMigrate, match="does not answer within") as caught:
        await migrate(log_settings(away), patience=0.5)
    assert "hidden" not in str(caught.value)
    missing = empty_database_url.replace("/test_", "/no_such_")
    with pytest.raises(CannotMigrate, match="does not exist"):
        await migrate(log_settings(missing), patience=30)


async def test_a_failed_migration_leaves_nothing_half_made(empty_database_url: str) -> None:
    """Its steps are one transaction."""
    await fetch(empty_database_url, "CREATE TABLE other (id int)")
    await fetch(empty_database_url, "CREATE INDEX ix_exchanges_parent_id ON other (id)")
    with pytest.raises(CannotMigrate, match="DuplicateTable"):
        await migrate(log_settings(empty_database_url))
    found = await fetch(empty_database_url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert [row["tablename"] for row in found] == ["other"]


async def test_long_texts_are_compressed_with_lz4_where_the_server_can(database_url: str) -> None:
    """And with the server's default where it was built without."""
    can = "SELECT 'lz4' = ANY (enumvals) AS can FROM pg_settings WHERE name = 'default_toast_compression'"
    expected = b"l" if (await fetch(database_url, can))[0]["can"] else b""
    found = await fetch(
        database_url,
        """SELECT attcompression FROM pg_attribute WHERE atttypid = 'json'::regtype
           AND attrelid::regclass::text IN ('exchanges', 'exchanges_first', 'exchanges_last')
           OR attrelid = 'idempotent_answers'::regclass AND attname = 'answer'""",
    )
    assert [row["attcompression"].strip(b"\0") for row in found] == [expected] * 16


async def schema_of(url: str) -> dict[str, list[tuple[object, ...]]]:
    return {name: [tuple(row) for row in await fetch(url, query)] for name, query in _SCHEMA.items()}
