"""Which tables are ours, and what is in them."""

from collections.abc import Mapping, Sequence

# Each adds its tables to the one list of them.
import adapters.conversations.models
import adapters.keys.models
import adapters.limits.models
import adapters.responses.models  # noqa: F401
from adapters.database.base import Base
from adapters.database.session import Connection

REVISION = "alembic_version"
_PRESENT = """
    SELECT c.relname::text, format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid) AND c.relname = ANY ($1) ORDER BY 1"""
_PARTITIONS = """
    SELECT format('%I.%I', n.nspname, c.relname) FROM pg_inherits i
        JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE i.inhparent = to_regclass('exchanges') ORDER BY 1"""


async def present(connection: Connection) -> dict[str, str]:
    """Those of our tables that the database has, and how SQL calls them."""
    names = [*Base.metadata.tables, REVISION]
    return dict(tuple(row) for row in await connection.fetch(_PRESENT, names))


async def partitions(connection: Connection) -> Sequence[str]:
    """The partitions of the log, as SQL calls them."""
    return [row[0] for row in await connection.fetch(_PARTITIONS)]


async def counted(connection: Connection) -> Mapping[str, int]:
    """How many rows each of our tables has, but for the schema's revision."""
    tables = await present(connection)
    return {
        name: await connection.fetchval(f"SELECT count(*) FROM {called}")  # noqa: S608  # quoted by PostgreSQL
        for name, called in tables.items()
        if name != REVISION
    }
