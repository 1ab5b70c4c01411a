"""A started writer, and a server that may be hurt."""

from collections.abc import AsyncIterator, Iterator

import pytest

from adapters.conversations.repository import ExchangeRepository
from adapters.conversations.writer import ExchangeWriter
from adapters.database.migrate import migrate
from adapters.database.session import create_engine
from tests.databases import PostgresServer, log_settings


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
