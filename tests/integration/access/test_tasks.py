"""Clients that leave at any moment leave no task, timer or connection behind in the gateway's own process."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import uvicorn

from adapters.access.protocol import bounded_protocol
from adapters.app import Gateway
from adapters.settings import Settings
from tests.fakes.engine import ScriptedEngine
from tests.overload import leaving

CLIENTS = 200


@pytest.fixture
def engine() -> Iterator[ScriptedEngine]:
    with ScriptedEngine() as engine:
        engine.script = leaving.TALK
        yield engine


@pytest.fixture
def settings(
    engine: ScriptedEngine, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("ENGINE_URL", engine.url)
    monkeypatch.setenv("ZEPHYR_SPOOL_DIR", str(tmp_path / "spool"))
    monkeypatch.setenv("ZEPHYR_ENGINE_KEEP_ALIVE", "0.2")
    monkeypatch.setenv("ZEPHYR_ENGINE_PROBE_SECONDS", "0.05")
    return Settings.read()


class Running:
    """The application in this process and loop, as `adapters.server` runs it."""

    def __init__(self, settings: Settings) -> None:
        self.gateway = Gateway(settings)
        config = uvicorn.Config(
            self.gateway.asgi,
            port=0,
            http=bounded_protocol(settings.server),
            log_config=None,
            access_log=False,
        )
        self.server = uvicorn.Server(config)

    @property
    def port(self) -> int:
        port: int = self.server.servers[0].sockets[0].getsockname()[1]
        return port


@pytest.fixture
async def running(settings: Settings) -> AsyncIterator[Running]:
    running = Running(settings)
    serving = asyncio.create_task(running.server._serve())
    while not running.server.started:
        await asyncio.sleep(0.01)
    yield running
    running.server.should_exit = True
    await serving


async def until(true: object, seconds: float = 10.0) -> None:
    assert callable(true)
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.02)


async def test_clients_that_leave_leave_no_task(running: Running, engine: ScriptedEngine) -> None:
    """As many tasks as before, no open generation, no connection of a client, nothing at the engine."""
    await until(lambda: running.gateway._watch.state.ready)
    chance = random.Random(1)
    await leaving.leave(running.port, 20, chance)
    await until(lambda: running.gateway.admission.open == 0 and engine.running == 0)
    await asyncio.sleep(0.5)
    before = names()
    await leaving.leave(running.port, CLIENTS, chance)
    await until(lambda: engine.running == 0)
    await until(lambda: running.gateway.admission.open == 0)
    await until(lambda: not running.server.server_state.connections)
    await until(lambda: len(names()) <= len(before))
    assert len(engine.seen) > CLIENTS // 3
    assert running.gateway._engine.at_work == 0
    await until(lambda: engine.connections <= 2)


def names() -> list[str]:
    """Of the tasks that are not done."""
    return sorted(task.get_name() for task in asyncio.all_tasks() if not task.done())
