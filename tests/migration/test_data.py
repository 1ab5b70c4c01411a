"""A database that every version has written to goes up and down step by step: what must survive does, what is lost is said."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg
import pytest

from adapters.conversations.partitions import LAST, make_ahead
from adapters.conversations.writer import ExchangeWriter
from adapters.database.migrate import migrate
from adapters.database.schema import newest
from tests.architecture.checkout import ROOT
from tests.databases import fetch, log_settings
from tests.migration.test_schema import schema_of
from tests.migration.written_then import WRITTEN, an_exchange, id_at
from tests.records import an_exchange as an_exchange_of_today

Contents = Mapping[str, Mapping[str, list[str | None]]]
"""By table and column, the values as text, in the order of the rows."""
_COLUMNS = """
    SELECT c.relname AS table, array_agg(a.attname::text ORDER BY a.attnum) AS columns
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
      AND c.relname <> 'alembic_version' AND a.attnum > 0 AND NOT a.attisdropped GROUP BY 1"""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A revision on the way up: its schema, before anything new was written, and what was in it afterwards."""

    schema: object
    contents: Contents


async def test_what_every_version_wrote_goes_all_the_way(empty_database_url: str) -> None:
    """Up with rows of each revision's own, at the head rows of today, down to nothing, and up again."""
    url, settings = empty_database_url, log_settings(empty_database_url)
    steps: dict[str, Step] = {}
    before: Contents = {}
    for revision, statements in WRITTEN.items():
        await migrate(settings, revision=revision)
        assert _missing(before, await contents(url)) == set(), revision
        found = await schema_of(url)
        await _run(url, *statements)
        before = await contents(url)
        assert all(
            any(value is not None for value in column)
            for table in before.values()
            for column in table.values()
        )
        steps[revision] = Step(schema=found, contents=before)
    assert list(WRITTEN) == sorted(steps)
    assert list(WRITTEN)[-1] == newest(), "say what the gateway of the newest revision writes"
    await _write_as_today(url)
    assert len(await fetch(url, "SELECT DISTINCT tableoid FROM exchanges")) == 3, (
        "also in a month that was made"
    )

    full, lost = await contents(url), {}
    await migrate(settings, revision="0009")
    await migrate(settings)
    assert _missing(full, await contents(url)) == {"conversation_titles"}, (
        "as one does who takes a release back"
    )
    await _run(url, *WRITTEN["0010"])
    for revision, lower in zip(reversed(WRITTEN), [*reversed(list(WRITTEN)[:-1]), "base"], strict=True):
        there = await contents(url)
        await migrate(settings, revision=lower)
        now = await contents(url)
        lost[revision] = _missing(there, now)
        if lower != "base":
            assert await schema_of(url) == steps[lower].schema, (
                f"{revision} has left something, or taken too much"
            )
            assert _missing(steps[lower].contents, now) == set()
            await _refuses_what_it_should(url)
    assert not any((await schema_of(url)).values())
    assert lost == _said_to_be_lost()
    assert set().union(*lost.values()) >= set(full)
    await migrate(settings)
    assert await schema_of(url) == steps[newest()].schema


async def _write_as_today(url: str) -> None:
    """By the gateway's own writer, with partitions made ahead."""
    connection = await asyncpg.connect(url)
    assert await make_ahead(connection, await connection.fetchval("SELECT now()"))
    await connection.close()
    writer = ExchangeWriter(log_settings(url))
    await writer.start()
    exchange = an_exchange_of_today()
    await writer.commit(exchange)
    await writer.close()
    (found,) = await fetch(url, "SELECT tableoid::regclass::text FROM exchanges WHERE id = $1", exchange.id)
    assert found[0] != LAST


async def _refuses_what_it_should(url: str) -> None:
    """The same exchange twice, and an outcome that is none: the constraints came along."""
    for statement, error in (
        (an_exchange(0), asyncpg.UniqueViolationError),
        (
            an_exchange(999).replace("'cancelled'", "'perhaps'").replace("'client_gone'", "'perhaps'"),
            asyncpg.CheckViolationError,
        ),
    ):
        with pytest.raises(error):
            await _run(url, statement)
    assert await fetch(url, "SELECT 1 FROM exchanges WHERE id = $1", id_at(0))


async def _run(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def contents(url: str) -> Contents:
    found: dict[str, dict[str, list[str | None]]] = {}
    for table, columns in await fetch(url, _COLUMNS):
        texts = ", ".join(f"{column}::text" for column in columns)
        rows = await fetch(url, f"SELECT {texts} FROM {table} ORDER BY 1, 2, 3")
        if rows:
            found[table] = {column: [row[place] for row in rows] for place, column in enumerate(columns)}
    return found


def _missing(before: Contents, now: Contents) -> set[str]:
    """The tables and columns of which something was there before that is not there now."""
    gone = {table for table in before if table not in now}
    for table in before.keys() - gone:
        gone |= {f"{table}.{column}" for column in before[table] if column not in now[table]}
        kept = [column for column in before[table] if column in now[table]]
        rows = set(zip(*(now[table][column] for column in kept), strict=True))
        if not set(zip(*(before[table][column] for column in kept), strict=True)) <= rows:
            gone.add(f"rows of {table}")
    return gone


def _said_to_be_lost() -> dict[str, set[str]]:
    """What docs/upgrades.md says in the last column of its table of revisions."""
    page = (ROOT / "docs" / "upgrades.md").read_text()
    rows = re.findall(r"^\| `(\d{4})` \|.*\| ([^|]+) \|$", page, re.MULTILINE)
    return {revision: set(re.findall(r"`([a-z_.]+)`", said)) for revision, said in rows}
