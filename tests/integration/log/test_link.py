"""The writer's connection with batches that are larger than what the database takes in time."""

import asyncio

import pytest

from adapters.database.link import DatabaseAway, Link
from adapters.database.session import Connection
from tests.databases import log_settings

ROWS = [(number, "x" * 500_000) for number in range(400)]


async def make_table(connection: Connection) -> None:
    await connection.execute("CREATE TABLE large (id integer, text text)")


async def write(connection: Connection) -> None:
    await connection.executemany("INSERT INTO large VALUES ($1, $2)", ROWS)


async def look(connection: Connection) -> None:
    assert await connection.fetchval("SELECT count(*) FROM large") == 0


async def test_large_batch_that_takes_too_long_is_given_up(database_url: str) -> None:
    """In its time, and the next command finds a connection that works."""
    link = Link(log_settings(database_url))
    await link.run(make_table, timeout=5)
    async with asyncio.timeout(5):
        with pytest.raises(DatabaseAway):
            await link.run(write, timeout=0.1)
    assert not link.up
    await link.run(look, timeout=5)
    assert link.up
    link.close()


async def test_stop_in_the_middle_of_a_large_batch_is_a_stop(database_url: str) -> None:
    """Whoever cancels the writer waits for it."""
    link = Link(log_settings(database_url))
    await link.run(make_table, timeout=5)
    writing = asyncio.create_task(link.run(write, timeout=30))
    await asyncio.sleep(0.1)
    writing.cancel()
    await asyncio.sleep(0.1)
    link.close()
    done, _ = await asyncio.wait({writing}, timeout=5)
    assert done and writing.cancelled()
