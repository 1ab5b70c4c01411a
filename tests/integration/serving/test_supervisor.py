"""Keeping services running, with real children."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from serving.errors import CannotRun, StartFailed
from serving.process.child import Command, inherited_environment
from serving.reporting import Kind
from serving.settings import Settings
from serving.supervisor import Supervisor

SLEEP = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"


@dataclass
class Told:
    """What the supervisor and its services said."""

    said: list[tuple[str, Kind, str]] = field(default_factory=list)

    def tell(self, part: str, kind: Kind, text: str) -> None:
        self.said.append((part, kind, text))

    def texts(self, kind: Kind) -> list[str]:
        return [text for _, one, text in self.said if one == kind]


class Scripted:
    """A service that runs Python code and is ready once it has printed its process id."""

    name = "scripted"

    def __init__(self, code: str = SLEEP, start_seconds: float = 10.0) -> None:
        self.code = code
        self.start_seconds = start_seconds
        self.stop_seconds = 1.0
        self.error: Exception | None = None
        self.pids: list[int] = []
        self.downs = 0
        self.hung = asyncio.Event()
        self._printed = asyncio.Event()

    async def command(self) -> Command:
        self._printed.clear()
        return Command(argv=[sys.executable, "-c", self.code], environment=inherited_environment())

    def on_line(self, line: str) -> None:
        if line.isdigit():
            self.pids.append(int(line))
            self._printed.set()

    async def until_ready(self) -> None:
        await self._printed.wait()
        if self.error is not None:
            raise self.error

    async def until_hung(self) -> str:
        await self.hung.wait()
        return "hangs, as the test wants"

    def down(self) -> None:
        self.downs += 1

    def advice(self) -> str:
        return "Try something else."


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def supervisor(tmp_path: Path, told: Told) -> AsyncIterator[Supervisor]:
    settings = Settings(home=tmp_path / "home", restart_seconds=0.05, restart_max_seconds=0.2, start_tries=3)  # type: ignore[call-arg]  # the rest has defaults
    async with Supervisor(settings, told.tell) as supervisor:
        yield supervisor


async def test_crashed_service_comes_back(supervisor: Supervisor, told: Told) -> None:
    """Its end is said with its signal, and what it announced is taken back."""
    service = Scripted()
    supervisor.start(service)
    await supervisor.until_ready("scripted")
    os.kill(service.pids[0], signal.SIGKILL)
    await until(lambda: len(service.pids) == 2)
    assert service.downs == 1
    assert any("SIGKILL" in text for text in told.texts("trouble"))
    assert alive(service.pids[1])


async def test_pauses_between_restarts_grow_and_are_bounded(supervisor: Supervisor, told: Told) -> None:
    """A service that was ready is never given up."""
    service = Scripted("import os; print(os.getpid(), flush=True)")
    supervisor.start(service)
    began = time.monotonic()
    await until(lambda: len(service.pids) == 6)
    assert time.monotonic() - began > 0.05 + 0.1 + 0.2 + 0.2 + 0.2


async def test_service_that_never_comes_up_is_given_up(supervisor: Supervisor, told: Told) -> None:
    """After the tries it was given, with its last lines and how it ended."""
    supervisor.start(Scripted("print('no such thing'); raise SystemExit(4)"))
    with pytest.raises(
        CannotRun, match=r"(?s)exit status 4.*no such thing.*Try something else.*Given up after 3 tries"
    ):
        await supervisor.until_ready("scripted")


async def test_service_that_is_too_slow_counts_as_failed(supervisor: Supervisor) -> None:
    """Its time is a setting, and what it printed is shown."""
    code = "import time; print('thinking', flush=True); time.sleep(60)"
    supervisor.start(Scripted(code, start_seconds=0.4))
    with pytest.raises(CannotRun, match=r"(?s)not ready after 0 s.*thinking"):
        await supervisor.until_ready("scripted")


async def test_readiness_that_fails_stops_the_child(supervisor: Supervisor) -> None:
    """A part that came up wrongly does not stay."""
    service = Scripted()
    service.error = StartFailed("it answers wrongly")
    supervisor.start(service)
    with pytest.raises(CannotRun, match="it answers wrongly"):
        await supervisor.until_ready("scripted")
    assert len(service.pids) == 3
    assert not any(map(alive, service.pids))


async def test_service_that_cannot_run_is_not_tried_again(supervisor: Supervisor) -> None:
    """A missing model is still missing a second later."""
    service = Scripted()
    service.error = CannotRun("there is no model")
    supervisor.start(service)
    with pytest.raises(CannotRun, match="there is no model"):
        await supervisor.until_ready("scripted")
    assert len(service.pids) == 1


async def test_missing_program_is_named(supervisor: Supervisor) -> None:
    """The message says what could not be started."""
    with pytest.raises(CannotRun, match="/no/such/program cannot be started: No such file"):
        await supervisor.run_once("job", Command(argv=["/no/such/program"], environment={}))


async def test_stopped_service_stays_stopped(supervisor: Supervisor) -> None:
    """Its end is no crash."""
    service = Scripted()
    supervisor.start(service)
    await supervisor.until_ready("scripted")
    await supervisor.stop("scripted")
    await asyncio.sleep(0.3)
    assert len(service.pids) == 1
    assert not alive(service.pids[0])


async def test_failed_job_is_told_with_its_last_lines(supervisor: Supervisor) -> None:
    """Migrations, for instance."""
    code = "print('the schema is newer'); raise SystemExit(2)"
    with pytest.raises(CannotRun, match=r"(?s)job failed \(exit status 2\).*the schema is newer"):
        await supervisor.run_once("job", Command(argv=[sys.executable, "-c", code], environment={}))


async def test_job_that_is_cancelled_leaves_no_process(supervisor: Supervisor) -> None:
    """Somebody asked to stop while a model was being converted."""
    pids: list[int] = []
    command = Command(argv=[sys.executable, "-c", SLEEP], environment={})
    job = asyncio.create_task(supervisor.run_once("job", command, lambda line: pids.append(int(line))))
    await until(lambda: bool(pids))
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert not alive(pids[0])


async def until(true: object, seconds: float = 10.0) -> None:
    assert callable(true)
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit, "it did not come in time"
        await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_service_that_hangs_is_ended_and_started_again(supervisor: Supervisor, told: Told) -> None:
    """It would never end by itself; what is announced is taken back first."""
    service = Scripted()
    supervisor.start(service)
    await supervisor.until_ready("scripted")
    service.hung.set()
    await until(lambda: service.downs == 1)
    service.hung.clear()
    await until(lambda: len(service.pids) == 2)
    assert not alive(service.pids[0])
    assert any("hangs, as the test wants" in text for text in told.texts("trouble"))


async def test_service_that_is_asked_for_starts_anew_at_once(supervisor: Supervisor, told: Told) -> None:
    """It is no failure: there is no pause, and no trouble is told."""
    service = Scripted()
    supervisor.start(service)
    await supervisor.until_ready("scripted")
    assert supervisor.is_up("scripted")
    await supervisor.restart("scripted")
    assert len(service.pids) == 2
    assert not alive(service.pids[0])
    assert alive(service.pids[1])
    assert not told.texts("trouble")
    assert not any("starting again" in text for text in told.texts("busy"))
    await supervisor.restart("scripted")
    assert len(service.pids) == 3


async def test_whoever_asks_for_a_restart_hears_that_it_failed(supervisor: Supervisor, told: Told) -> None:
    """It goes on being started, and is waited for."""
    service = Scripted()
    supervisor.start(service)
    await supervisor.until_ready("scripted")
    service.error = StartFailed("not today")
    with pytest.raises(StartFailed, match="not today"):
        await supervisor.restart("scripted")
    assert not supervisor.is_up("scripted")
    service.error = None
    await asyncio.wait_for(supervisor.until_up("scripted"), 10)
