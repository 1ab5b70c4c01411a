"""What all tests share."""

import os
from collections.abc import Iterator

import pytest

from tests.databases import (  # noqa: F401  # fixtures
    PostgresServer,
    _numbers,
    _template,
    database_url,
    empty_database_url,
)


def pytest_configure() -> None:
    """No test sees the settings of whoever runs it."""
    for name in [name for name in os.environ if name.startswith(("ZEPHYR_", "DATABASE_URL", "ENGINE_URL"))]:
        del os.environ[name]


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """One PostgreSQL server for the suite."""
    server = PostgresServer()
    yield server.url
    server.close()
