"""What all tests share."""

from collections.abc import Iterator

import pytest

from tests.databases import (  # noqa: F401  # fixtures
    OwnPostgres,
    _numbers,
    _template,
    database_url,
    empty_database_url,
)


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One PostgreSQL server for the suite."""
    server = OwnPostgres(tmp_path_factory.mktemp("postgres"))
    yield server.url
    server.close()
