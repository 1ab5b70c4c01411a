"""The writer when PostgreSQL is frozen, killed, unreachable, or not ready for it."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from adapters.conversations.errors import LogUnavailable
from adapters.conversations.repository import ExchangeRepository, Filters
from adapters.conversations.writer import ExchangeWriter
from adapters.database.migrate import migrate
from adapters.database.session import create_engine
from tests.databases import PostgresServer, fetch, log_settings
from tests.fakes.cable import Cable
from tests.records import an_exchange

ROOT = Path(__file__).parents[3]


async def test_a_frozen_database_counts_as_away_within_two_seconds(own_postgres: PostgresServer) -> None:
    """Without any traffic, a server that falls silent is noticed, and so is its return."""
    writer = ExchangeWriter(log_settings(own_postgres.url))
    await writer.start()
    writer.require_ready()
    own_postgres.freeze()
    try:
        assert await _seconds_until_ready(writer, False) < 3.5
    finally:
        own_postgres.thaw()
    assert await _seconds_until_ready(writer, True) < 3.5
    await writer.commit(an_exchange())
    await writer.close()


async def test_an_exchange_under_way_survives_a_short_freeze(own_postgres: PostgresServer) -> None:
    """It becomes durable when the server goes on, once."""
    writer = ExchangeWriter(log_settings(own_postgres.url))
    await writer.start()
    own_postgres.freeze()
    exchange = an_exchange()
    durable = writer.commit(exchange)
    await asyncio.sleep(1.5)
    assert not durable.done()
    own_postgres.thaw()
    await durable
    assert await _count(own_postgres.url, exchange.id) == 1
    await writer.close()


async def test_a_frozen_connection_is_given_up_for_a_new_one(own_postgres: PostgresServer) -> None:
    """Where one backend alone has stopped, the batch is tried again elsewhere, long before the deadline."""
    writer = ExchangeWriter(log_settings(own_postgres.url, database_query_timeout=0.5))
    await writer.start()
    with own_postgres.frozen_backend():
        await asyncio.wait_for(writer.commit(an_exchange()), 3)
    await writer.close()


async def test_a_killed_server_has_kept_what_owners_were_told_of(own_postgres: PostgresServer) -> None:
    """Its power is cut in the moment the future is done, in a database that is set to be careless by default."""
    await fetch(own_postgres.url, "ALTER ROLE CURRENT_USER SET synchronous_commit = off")
    writer = ExchangeWriter(log_settings(own_postgres.url))
    await writer.start()
    exchanges = [an_exchange() for _ in range(20)]
    await asyncio.gather(*(writer.commit(exchange) for exchange in exchanges))
    own_postgres.kill()
    await writer.close()
    own_postgres.start()
    await fetch(own_postgres.url, "ALTER ROLE CURRENT_USER RESET synchronous_commit")
    found = await fetch(
        own_postgres.url, "SELECT id FROM exchanges WHERE id = ANY($1)", [e.id for e in exchanges]
    )
    assert len(found) == 20


async def test_the_writer_goes_on_with_a_server_that_was_killed(own_postgres: PostgresServer) -> None:
    """Exchanges that ended while it was down become durable when it is back before their deadline."""
    writer = ExchangeWriter(log_settings(own_postgres.url))
    await writer.start()
    await writer.commit(an_exchange())
    own_postgres.kill()
    late = an_exchange()
    durable = writer.commit(late)
    assert await _seconds_until_ready(writer, False) < 3.5
    assert writer.link.last_error is not None
    assert writer.link.away_since is not None
    own_postgres.start()
    await durable
    writer.require_ready()
    assert await _count(own_postgres.url, late.id) == 1
    await writer.close()


async def test_the_deadline_is_kept(own_postgres: PostgresServer) -> None:
    """Exchanges of a database that stays away fail each at their own deadline, and the writer goes on."""
    settings = log_settings(own_postgres.url, log_commit_deadline=1.0, log_batch_limit=1)
    writer = ExchangeWriter(settings)
    await writer.start()
    own_postgres.freeze()
    try:
        first, second = _timed(writer), _timed(writer, after=0.5)
        waited = await asyncio.gather(first, second)
    finally:
        own_postgres.thaw()
    assert all(0.95 < seconds < 2 for seconds in waited), waited
    assert (writer.status().refused, writer.status().waiting) == (2, 0)
    await _seconds_until_ready(writer, True)
    await writer.commit(an_exchange())
    await writer.close()


async def test_a_commit_whose_answer_is_lost_is_not_made_twice(database_url: str) -> None:
    """The server has committed, but the connection broke before it could say so: the retry finds the rows there."""
    async with Cable(_socket(database_url)) as cable:
        writer = ExchangeWriter(log_settings(_through(cable, database_url)))
        await writer.start()
        await writer.commit(an_exchange())
        cable.loses_answers = True
        exchanges = [an_exchange() for _ in range(10)]
        await asyncio.gather(*(writer.commit(exchange) for exchange in exchanges))
        assert not cable.loses_answers
        assert cable.connections == 2
        await writer.close()
    found = await fetch(database_url, "SELECT count(*), count(DISTINCT xmin::text) AS commits FROM exchanges")
    assert (found[0]["count"], found[0]["commits"]) == (11, 2)
    assert writer.status().committed == 11


async def test_a_database_without_the_table_is_not_ready(empty_database_url: str) -> None:
    """The writer is unready until the migrations have run, and then ready by itself."""
    writer = ExchangeWriter(log_settings(empty_database_url))
    await writer.start()
    with pytest.raises(LogUnavailable):
        writer.require_ready()
    assert writer.link.last_error and "run `zephyr migrate`" in writer.link.last_error
    await migrate(log_settings(empty_database_url))
    assert await _seconds_until_ready(writer, True) < 3.5
    await writer.close()


async def test_a_database_that_cannot_be_written_to_is_not_ready(database_url: str) -> None:
    """A standby, or one that is set to be read only, does not count as a log."""
    name = urlsplit(database_url).path.strip("/")
    await fetch(database_url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    writer = ExchangeWriter(log_settings(database_url))
    await writer.start()
    with pytest.raises(LogUnavailable):
        writer.require_ready()
    await writer.close()


async def test_starting_without_a_database_takes_a_second_at_most(tmp_path: Path) -> None:
    """The gateway comes up, unready."""
    writer = ExchangeWriter(log_settings(f"postgresql://nobody@/nothing?host={tmp_path}"))
    began = time.monotonic()
    await writer.start()
    assert time.monotonic() - began < 2.5
    with pytest.raises(LogUnavailable):
        writer.require_ready()
    await writer.close()


async def test_a_frozen_database_does_not_hold_a_reader_for_long(own_postgres: PostgresServer) -> None:
    """Reading the log of a silent server ends in LogUnavailable when the query's time is up."""
    engine = create_engine(log_settings(own_postgres.url, database_query_timeout=1.0))
    repository = ExchangeRepository(engine, page_bytes=2**20)
    await repository.page("local", filters=Filters(), limit=1)
    own_postgres.freeze()
    began = time.monotonic()
    try:
        with pytest.raises(LogUnavailable):
            await repository.page("local", filters=Filters(), limit=1)
        assert time.monotonic() - began < 3
    finally:
        own_postgres.thaw()
    await engine.dispose()


def test_a_killed_gateway_has_kept_what_owners_were_told_of(database_url: str) -> None:
    """The process that wrote kills itself in the moment the future is done: the row is there."""
    child = subprocess.run(
        [sys.executable, "-m", "tests.integration.log.commit_and_die"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DATABASE_URL": database_url},
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert child.returncode == -9
    ids = child.stdout.split()
    assert len(ids) == 3
    found = asyncio.run(fetch(database_url, "SELECT id FROM exchanges ORDER BY id"))
    assert [str(row["id"]) for row in found] == ids


async def _seconds_until_ready(writer: ExchangeWriter, ready: bool) -> float:
    began = time.monotonic()
    while time.monotonic() - began < 15:
        try:
            writer.require_ready()
        except LogUnavailable:
            if not ready:
                break
        else:
            if ready:
                break
        await asyncio.sleep(0.02)
    return time.monotonic() - began


async def _timed(writer: ExchangeWriter, after: float = 0.0) -> float:
    """Seconds until an exchange has failed."""
    await asyncio.sleep(after)
    began = time.monotonic()
    with pytest.raises(LogUnavailable):
        await writer.commit(an_exchange())
    return time.monotonic() - began


async def _count(url: str, id: object) -> int:
    count: int = (await fetch(url, "SELECT count(*) FROM exchanges WHERE id = $1", id))[0]["count"]
    return count


def _socket(url: str) -> str:
    folder = urlsplit(url).query.removeprefix("host=")
    return f"{folder}/.s.PGSQL.5432"


def _through(cable: Cable, url: str) -> str:
    return f"postgresql://postgres@127.0.0.1:{cable.port}{urlsplit(url).path}?sslmode=disable"
