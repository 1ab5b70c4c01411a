"""The embedded PostgreSQL."""

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from serving.errors import CannotRun
from serving.postgres import Postgres
from serving.settings import Settings
from serving.supervisor import Supervisor
from tests.integration.serving.test_supervisor import Told, until


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="zephyr-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def supervisor(home: Path, told: Told) -> Supervisor:
    settings = Settings(home=home, restart_seconds=0.05)  # type: ignore[call-arg]  # the rest has defaults
    return Supervisor(settings, told.tell)


def postgres(home: Path, told: Told) -> Postgres:
    return Postgres(home, 30.0, told.tell)


async def test_database_is_made_once_and_keeps_what_it_is_told(
    home: Path, told: Told, supervisor: Supervisor
) -> None:
    """Across a stop and a start, the second of which makes nothing anew."""
    server = postgres(home, told)
    async with supervisor:
        supervisor.start(server)
        await supervisor.until_ready("postgres")
        await query(server.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        await supervisor.stop("postgres")
        with pytest.raises(OSError, match=r"No such file|refused"):
            await query(server.url, "SELECT 1")
        began = time.monotonic()
        supervisor.start(postgres(home, told))
        await supervisor.until_ready("postgres")
        assert await query(server.url, "SELECT answer FROM kept") == 42
        assert time.monotonic() - began < 3
    assert told.texts("busy").count("making the database (once)") == 1


async def test_it_comes_back_after_kill_9_with_what_was_committed(
    home: Path, told: Told, supervisor: Supervisor
) -> None:
    """A stale process file does not keep it down."""
    server = postgres(home, told)
    async with supervisor:
        supervisor.start(server)
        await supervisor.until_ready("postgres")
        await query(server.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        told.said.clear()
        os.kill(int((server.folder / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        await until(lambda: any(kind == "ready" for _, kind, _ in told.said))
        assert await query(server.url, "SELECT answer FROM kept") == 42
        assert await query(server.url, "SHOW fsync") == "on"


async def test_interrupted_making_is_made_anew(home: Path, told: Told, supervisor: Supervisor) -> None:
    """Half a database is never trusted."""
    half = home / "postgres" / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    server = postgres(home, told)
    async with supervisor:
        supervisor.start(server)
        await supervisor.until_ready("postgres")
        assert await query(server.url, "SELECT 1") == 1
    assert not half.exists()


async def test_what_users_said_does_not_reach_its_log(home: Path, told: Told, supervisor: Supervisor) -> None:
    """An error is logged without statement and row."""
    server = postgres(home, told)
    async with supervisor:
        supervisor.start(server)
        await supervisor.until_ready("postgres")
        await query(server.url, "CREATE TABLE short (text varchar PRIMARY KEY CHECK (length(text) < 9))")
        await query(server.url, "INSERT INTO short VALUES ('private')")
        for statement in ("INSERT INTO short VALUES ('private')", "INSERT INTO short VALUES ('privately')"):
            with pytest.raises(asyncpg.IntegrityConstraintViolationError):
                await query(server.url, statement)
    log = (home / "logs" / "postgres.log").read_text()
    assert "violates check constraint" in log
    assert "private" not in log


async def test_only_the_server_and_its_owner_reach_its_socket(
    home: Path, told: Told, supervisor: Supervisor
) -> None:
    """Whoever reaches it is trusted, so nobody else may."""
    server = postgres(home, told)
    async with supervisor:
        supervisor.start(server)
        await supervisor.until_ready("postgres")
        assert server.folder.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
async def test_folder_that_the_servers_user_cannot_reach_is_refused(told: Told, tmp_path: Path) -> None:
    """With the folder that is closed, and what to do."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "home").mkdir()
    with pytest.raises(CannotRun, match=r"may not enter .*Set ZEPHYR_HOME"):
        await postgres(closed / "home", told).command()


async def query(url: str, statement: str) -> object:
    connection = await asyncio.wait_for(asyncpg.connect(url), 5)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()
