"""Real PostgreSQL servers and databases for tests."""

import asyncio
import itertools
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import asyncpg
import psutil
import pytest
from pydantic import SecretStr

from adapters.database.migrate import migrate
from adapters.settings import LogSettings
from serving.postgres import Postgres

_TEMPLATE = "zephyr_template"
NO_SPOOL = Path("/proc/no-spool")
"""A folder in which nothing can be kept."""
_Result = TypeVar("_Result")


class PostgresServer:
    """The host's own embedded PostgreSQL, which a test may freeze and kill."""

    def __init__(self) -> None:
        # Not in pytest's folder: as root, PostgreSQL runs as another user, who may not enter that.
        self.home = Path(tempfile.mkdtemp(prefix="zephyr-"))
        self._postgres = Postgres(self.home, 30.0, lambda *_: None)
        self.url = self._postgres.url
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, unless it is running."""
        if self._process is None or self._process.poll() is not None:
            command = _in_a_thread(self._postgres.command())
            self._process = subprocess.Popen(
                command.argv,
                env=command.environment,
                cwd=command.directory,
                user=command.user,
                group=command.group,
                extra_groups=None if command.user is None else [],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            _in_a_thread(self._postgres.until_ready())

    def freeze(self) -> None:
        """Make it silent without closing anything, as an overloaded machine or a lost network does."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    @contextmanager
    def frozen_backend(self) -> Iterator[None]:
        """Freeze the one process that serves the gateway's writer, and no other."""
        query = "SELECT pid FROM pg_stat_activity WHERE application_name = 'zephyr-gateway'"
        (found,) = _in_a_thread(fetch(self.url, query))
        backend = psutil.Process(found["pid"])
        backend.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            backend.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Take its power away: no process of it gets to do anything more."""
        processes = self._signal(signal.SIGSTOP)
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        assert self._process is not None
        self._process.wait()
        psutil.wait_procs(processes, timeout=10)

    def close(self) -> None:
        """Stop it for good and remove what it kept."""
        assert self._process is not None
        if self._process.poll() is None:
            self.thaw()
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)
        shutil.rmtree(self.home)

    def _signal(self, number: signal.Signals) -> list[psutil.Process]:
        """Send it to every process of the server, and return them. One that has just ended gets none."""
        processes = self._processes()
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        return processes

    def _processes(self) -> list[psutil.Process]:
        assert self._process is not None
        postmaster = psutil.Process(self._process.pid)
        return [postmaster, *postmaster.children()]


def _in_a_thread(work: Coroutine[Any, Any, _Result]) -> _Result:
    """The result of a coroutine, for callers of which some run in a loop already."""
    with ThreadPoolExecutor() as thread:
        return thread.submit(asyncio.run, work).result()


def log_settings(url: str, **changes: object) -> LogSettings:
    """The log's settings for a database, with changes; without a spool, unless one is given."""
    return LogSettings(database_url=SecretStr(url), **{"spool_dir": NO_SPOOL} | changes)  # type: ignore[arg-type]


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
