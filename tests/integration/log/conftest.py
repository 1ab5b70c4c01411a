"""A started writer, and a server that may be hurt."""

from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from adapters.conversations.partitions import FIRST, LAST, first_id, make_ahead
from adapters.conversations.repository import ExchangeRepository
from adapters.conversations.writer import ExchangeWriter
from adapters.database.migrate import migrate
from adapters.database.session import create_engine
from tests.databases import PostgresServer, log_settings
from tests.integration.log.months import month
from tests.integration.log.server import Ask, served
from tests.rows import FILL


@pytest.fixture
async def writer(database_url: str) -> AsyncIterator[ExchangeWriter]:
    """A writer at work."""
    writer = ExchangeWriter(log_settings(database_url))
    await writer.start()
    yield writer
    await writer.close()


@pytest.fixture
async def repository(database_url: str) -> AsyncIterator[ExchangeRepository]:
    """The log that the writer writes."""
    engine = create_engine(log_settings(database_url))
    yield ExchangeRepository(engine, page_bytes=2**20)
    await engine.dispose()


@pytest.fixture
async def ask(repository: ExchangeRepository) -> AsyncIterator[Ask]:
    """Asks a server that has the log's routes."""
    async with served(repository) as ask:
        yield ask


@pytest.fixture(scope="module")
def _own_postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture
async def own_postgres(_own_postgres: PostgresServer) -> AsyncIterator[PostgresServer]:
    """A migrated server that the test may freeze and kill; it is well again afterwards."""
    await migrate(log_settings(_own_postgres.url))
    yield _own_postgres
    _own_postgres.start()


@pytest.fixture
async def full_url(database_url: str) -> str:
    """A log of six months, 500 exchanges a month and caller, in partitions that are not small."""
    connection = await asyncpg.connect(database_url)
    begins = month(-1)
    await connection.execute("DROP TABLE exchanges_first, exchanges_last")
    await connection.execute(
        f"CREATE TABLE {FIRST} PARTITION OF exchanges FOR VALUES FROM (MINVALUE) TO ('{first_id(begins)}')"
    )
    await connection.execute(
        f"CREATE TABLE {LAST} PARTITION OF exchanges FOR VALUES FROM ('{first_id(begins)}') TO (MAXVALUE)"
    )
    await make_ahead(connection, month(2))
    await connection.execute(FILL, begins, month(4), 20_000)
    await connection.execute("ANALYZE exchanges")
    assert await connection.fetchval("SELECT count(DISTINCT tableoid) FROM exchanges") == 5
    await connection.close()
    return database_url
