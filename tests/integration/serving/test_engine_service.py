"""The engine as a service: an engine that was not checked cannot be reached. vLLM itself is played by `fake_vllm.py`."""

import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from serving.engine.service import Engine
from serving.errors import CannotRun
from serving.readiness import NoAnswer, ask
from serving.settings import Settings
from serving.supervisor import Supervisor
from tests.acceptance.gateway import free_port
from tests.integration.serving import fake_vllm
from tests.integration.serving.test_supervisor import Told, until


class Host:
    """A home with a model and a fake vLLM, and a supervisor for its engine."""

    def __init__(self, home: Path) -> None:
        self.behaviour = home / "behaviour"
        self.told = Told()
        python = home / "python"
        python.write_text(f'#!/bin/sh\necho "pid $$"\nexec {sys.executable} {fake_vllm.__file__} "$@"\n')
        python.chmod(0o755)
        model = home / "mine"
        model.mkdir()
        (model / "config.json").write_text("{}")
        self.settings = Settings(
            home=home, model=str(model), engine_python=python, restart_seconds=0.05, start_tries=2
        )  # type: ignore[call-arg]  # the rest has defaults
        self.settings.run.mkdir()
        self.published = self.settings.run / "engine.sock"

    def engine(self, supervisor: Supervisor) -> Engine:
        port = self.settings.engine_port
        address = (self.settings.engine_host, port) if port else None
        return Engine(self.settings, supervisor.run_once, self.told.tell, address=address)

    def pids(self) -> list[int]:
        """The process ids of all engines so far."""
        lines = (self.settings.logs / "engine.log").read_text().splitlines()
        events = [json.loads(line)["event"] for line in lines]
        return [int(event.split()[1]) for event in events if event.startswith("pid")]

    def sockets(self) -> set[str]:
        return {file.name for file in self.settings.run.iterdir()}


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="zephyr-") as folder:
        monkeypatch.setenv("FAKE_VLLM", f"{folder}/behaviour")
        yield Path(folder)


@pytest.fixture
def host(home: Path) -> Host:
    return Host(home)


@pytest.fixture
async def supervisor(host: Host) -> AsyncIterator[Supervisor]:
    async with Supervisor(host.settings, host.told.tell) as supervisor:
        yield supervisor


async def test_right_engine_is_published_under_one_name(host: Host, supervisor: Supervisor) -> None:
    """A link to the socket of this start."""
    host.behaviour.write_text("right")
    engine = host.engine(supervisor)
    supervisor.start(engine)
    await supervisor.until_ready("engine")
    assert engine.url == f"unix:{host.published}"
    assert host.published.readlink() == Path("engine.1.sock")
    assert (await asyncio.to_thread(ask, engine.url, "/v1/models")).status == 200


async def test_wrong_engine_is_never_published(host: Host, supervisor: Supervisor) -> None:
    """It runs and is healthy, and nobody can ask it anything; after its tries it is given up, plainly."""
    host.behaviour.write_text("miscounts")
    seen = asyncio.create_task(watch(host.published))
    supervisor.start(host.engine(supervisor))
    with pytest.raises(CannotRun, match=r"(?s)counts 7 prompt tokens.*Given up after 2 tries"):
        await supervisor.until_ready("engine")
    seen.cancel()
    assert seen.cancelled() or not seen.done(), "a wrong engine was published"
    assert not host.sockets()
    assert not any(alive(pid) for pid in host.pids())


async def test_published_name_goes_with_the_engine_and_comes_back(host: Host, supervisor: Supervisor) -> None:
    """A killed engine is unreachable at once, and its successor has a socket of its own."""
    host.behaviour.write_text("right")
    engine = host.engine(supervisor)
    supervisor.start(engine)
    await supervisor.until_ready("engine")
    os.kill(host.pids()[0], signal.SIGKILL)
    await until(lambda: not host.published.is_symlink())
    with pytest.raises(NoAnswer):
        ask(engine.url, "/health")
    await until(host.published.is_symlink)
    assert host.published.readlink() == Path("engine.2.sock")


async def test_engine_that_turns_wrong_is_not_published_again(host: Host, supervisor: Supervisor) -> None:
    """Each start is checked, not only the first."""
    host.behaviour.write_text("right")
    supervisor.start(host.engine(supervisor))
    await supervisor.until_ready("engine")
    host.behaviour.write_text("unsteady")
    os.kill(host.pids()[0], signal.SIGKILL)
    await until(lambda: any("not steady" in text for text in host.told.texts("trouble")))
    assert not host.published.is_symlink()


async def test_port_is_open_only_while_a_checked_engine_is_published(
    host: Host, supervisor: Supervisor
) -> None:
    """Before the check, after the engine's end and while its successor starts, nobody listens there."""
    port = free_port()
    host.settings = host.settings.model_copy(update={"engine_port": port})
    host.behaviour.write_text("right")
    engine = host.engine(supervisor)
    supervisor.start(engine)
    while not host.published.is_symlink():
        assert not listens(port)
        await asyncio.sleep(0.01)
    await supervisor.until_ready("engine")
    url = f"http://127.0.0.1:{port}"
    assert (await asyncio.to_thread(ask, url, "/v1/models")).status == 200
    host.behaviour.write_text("miscounts")
    os.kill(host.pids()[0], signal.SIGKILL)
    await until(lambda: any("prompt tokens" in text for text in host.told.texts("trouble")))
    assert not listens(port)
    host.behaviour.write_text("right")
    await until(host.published.is_symlink)
    await until(lambda: listens(port))
    assert (await asyncio.to_thread(ask, url, "/v1/models")).status == 200


async def test_port_that_is_taken_is_said_plainly(host: Host, supervisor: Supervisor) -> None:
    """And the engine is not announced."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        host.settings = host.settings.model_copy(update={"engine_port": taken.getsockname()[1]})
        host.behaviour.write_text("right")
        supervisor.start(host.engine(supervisor))
        with pytest.raises(CannotRun, match="ZEPHYR_ENGINE_PORT: "):
            await supervisor.until_ready("engine")
    assert not host.published.is_symlink()


async def test_engine_that_hangs_is_restarted(host: Host, supervisor: Supervisor) -> None:
    """It says that it is well and answers nothing: it is taken away, killed, and its successor is checked like any."""
    host.settings = host.settings.model_copy(update={"engine_silence_seconds": 1.0})
    host.behaviour.write_text("right")
    engine = host.engine(supervisor)
    supervisor.start(engine)
    await supervisor.until_ready("engine")
    host.behaviour.write_text("silent")
    assert (await asyncio.to_thread(ask, engine.url, "/health")).status == 200
    await until(lambda: not host.published.is_symlink())
    host.behaviour.write_text("right")
    await until(host.published.is_symlink)
    assert host.published.readlink() == Path("engine.2.sock")
    assert not alive(host.pids()[0])
    assert any("has not worked for 1 s" in text for text in host.told.texts("trouble"))


async def test_idle_engine_is_not_taken_for_one_that_hangs(host: Host, supervisor: Supervisor) -> None:
    """It answers when it is asked for a sign."""
    host.settings = host.settings.model_copy(update={"engine_silence_seconds": 0.5})
    host.behaviour.write_text("right")
    supervisor.start(host.engine(supervisor))
    await supervisor.until_ready("engine")
    await asyncio.sleep(2.0)
    assert len(host.pids()) == 1


async def test_engine_that_dies_is_told_with_its_last_lines(host: Host, supervisor: Supervisor) -> None:
    """What vLLM said last is the best explanation there is."""
    host.behaviour.write_text("dies")
    supervisor.start(host.engine(supervisor))
    with pytest.raises(CannotRun, match=r"(?s)exit status 3.*not enough of something"):
        await supervisor.until_ready("engine")


async def test_stopping_leaves_nothing(host: Host) -> None:
    """Neither name, socket nor process."""
    host.behaviour.write_text("right")
    async with Supervisor(host.settings, host.told.tell) as supervisor:
        supervisor.start(host.engine(supervisor))
        await supervisor.until_ready("engine")
    assert not host.sockets()
    assert not any(alive(pid) for pid in host.pids())


async def test_steps_of_the_start_are_told(host: Host, supervisor: Supervisor) -> None:
    """Whoever waits sees what for."""
    host.behaviour.write_text("right")
    supervisor.start(host.engine(supervisor))
    await supervisor.until_ready("engine")
    told = host.told.texts("busy")
    assert "starting vLLM (importing takes a while)" in told
    assert told[-1] == "checking its answers"


async def test_missing_environment_says_what_to_do(host: Host, supervisor: Supervisor) -> None:
    """Before anything else is tried."""
    host.settings.engine_python.unlink()
    supervisor.start(host.engine(supervisor))
    with pytest.raises(CannotRun, match=r"no .*/python\. Run \./run\.sh"):
        await supervisor.until_ready("engine")


async def watch(link: Path) -> None:
    """End when the link appears."""
    while not link.is_symlink():  # a file has no event
        await asyncio.sleep(0.001)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_the_engine_is_told_no_way_into_the_database(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What runs a model's code needs no password, also where that is not in the URL."""
    secrets = {
        "PGPASSWORD": "hunter2",
        "PGPASSFILE": "/secret",
        "DATABASE_URL": "postgresql://u:hunter2@h/d",
        "ZEPHYR_LIMITS_URL": "redis://:hunter2@h",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    async with Supervisor(host.settings, host.told.tell) as supervisor:
        command = await host.engine(supervisor).command()
    assert not secrets.keys() & command.environment.keys()
    assert "hunter2" not in repr(command) + " ".join(command.argv)


def listens(port: int) -> bool:
    """Whether anybody takes a connection there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
