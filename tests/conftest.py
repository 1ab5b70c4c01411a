"""What all tests share."""

from collections.abc import Iterator

import pytest

from tests.databases import (  # noqa: F401  # fixtures
    PostgresServer,
    _numbers,
    _template,
    database_url,
    empty_database_url,
)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """One PostgreSQL server for the suite."""
    server = PostgresServer()
    yield server.url
    server.close()
