"""How PostgreSQL would run what the log asks of it."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.databases import fetch

_SMALL_ROWS = 100


class Statements:
    """The statements that an engine has run, with their values."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []


@asynccontextmanager
async def watched(engine: AsyncEngine) -> AsyncIterator[Statements]:
    """Notes what the engine runs meanwhile."""
    statements = Statements()

    def note(_: object, __: object, statement: str, values: Any, *___: object) -> None:
        statements.seen.append((statement, values))

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", note)


async def explain(url: str, statement: str, *values: Any, options: str = "") -> str:
    """The plan for these values, as text. With `options` such as `ANALYZE` it is run, and taken back."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("BEGIN")
        return _text(await connection.fetch(f"EXPLAIN ({options or 'COSTS'}) {statement}", *values))
    finally:
        await connection.close()


async def explain_for_any(url: str, statement: str, *values: Any) -> str:
    """The plan that a prepared statement gets after some runs, which must do for all values."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        await connection.execute(f"PREPARE one AS {statement}")
        return _text(await connection.fetch(f"EXPLAIN EXECUTE one({', '.join(map(_literal, values))})"))
    finally:
        await connection.close()


def _literal(value: object) -> str:
    return "NULL" if value is None else "'" + str(value).replace("'", "''") + "'"


def _text(rows: list[asyncpg.Record]) -> str:
    return "\n".join(row[0] for row in rows)


async def scanned_whole(url: str, plan: str) -> set[str]:
    """The tables that the plan reads from end to end and that are not tiny."""
    tables = set(re.findall(r"Seq Scan on (\w+)", plan))
    sizes = await fetch(url, "SELECT relname, reltuples FROM pg_class WHERE relname = ANY($1)", list(tables))
    return {row["relname"] for row in sizes if row["reltuples"] > _SMALL_ROWS}
