"""What all tests share."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler.loadscope import LoadScopeScheduling

from tests.databases import (  # noqa: F401  # fixtures
    PostgresServer,
    _numbers,
    _template,
    database_url,
    empty_database_url,
)
from tests.router import router_home, router_python  # noqa: F401  # fixtures


def pytest_configure() -> None:
    """No test sees the settings of whoever runs it, and none fails for its slowness."""
    for name in [name for name in os.environ if name.startswith(("ZEPHYR_", "DATABASE_URL", "ENGINE_URL"))]:
        del os.environ[name]
    # How long an example takes says how busy the machine is.
    settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("suite")


class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Two workers share the suite file by file. The real engines, which take a minute to start, are with one of them."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "tests/engine" if file.startswith("tests/engine/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """Whom xdist asks, if there is more than one worker."""
    return ByFile(config, log)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """One PostgreSQL server for the suite."""
    server = PostgresServer()
    yield server.url
    server.close()
