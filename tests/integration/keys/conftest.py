"""A repository of keys over a database of the test's own."""

from collections.abc import AsyncIterator

import pytest

from adapters.database.session import create_engine
from adapters.keys.repository import KeyRepository
from tests.databases import log_settings


@pytest.fixture
async def keys(database_url: str) -> AsyncIterator[KeyRepository]:
    """The repository."""
    engine = create_engine(log_settings(database_url))
    yield KeyRepository(engine)
    await engine.dispose()
