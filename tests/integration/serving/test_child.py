"""One child process: its output, its group, its end."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from serving.process.child import Child, Command, describe_exit, inherited_environment
from serving.process.lifeline import Lifeline
from serving.process.logfile import LogFile

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
PARENT = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {STUBBORN!r}], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""


HOST = """
import asyncio, sys
from pathlib import Path
from serving.process.child import Child, Command
from serving.process.lifeline import Lifeline
from serving.process.logfile import LogFile

async def main():
    command = Command(argv=[sys.executable, "-c", sys.argv[1]], environment={})
    log = LogFile(Path(sys.argv[2]) / "log", 2**20)
    told = lambda line: print(child.pid, line, flush=True)
    child = await Child.start(command, log=log, lifeline=Lifeline(), on_line=told)
    await child.ended()

asyncio.run(main())
"""


class Nursery:
    """Starts children of Python code."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "logs" / "child.log"
        self.lines: asyncio.Queue[str] = asyncio.Queue()
        self.lifeline = Lifeline()

    async def start(self, code: str, max_bytes: int = 2**20) -> Child:
        command = Command(argv=[sys.executable, "-c", code], environment=inherited_environment())
        log = LogFile(self.log, max_bytes)
        return await Child.start(command, log=log, lifeline=self.lifeline, on_line=self.lines.put_nowait)

    def events(self) -> list[str]:
        """What the lines of the log say."""
        return [json.loads(line)["event"] for line in self.log.read_text().splitlines()]


@pytest.fixture
async def nursery(tmp_path: Path) -> AsyncIterator[Nursery]:
    nursery = Nursery(tmp_path)
    yield nursery
    nursery.lifeline.close()


async def test_output_is_kept_in_the_log_and_its_end_at_hand(nursery: Nursery) -> None:
    """Both streams, line by line."""
    child = await nursery.start("import sys; print('one'); print('two', file=sys.stderr); sys.exit(3)")
    assert await child.ended() == 3
    assert sorted(child.last_lines) == ["one", "two"]
    assert sorted(nursery.events()) == ["one", "two"]


async def test_progress_bar_is_a_line_for_each_redraw(nursery: Nursery) -> None:
    """It draws over itself with carriage returns."""
    child = await nursery.start(r"print('10%\r20%\r30%', end='')")
    await child.ended()
    assert list(child.last_lines) == ["10%", "20%", "30%"]


@pytest.mark.parametrize("steps", range(12))
async def test_start_that_is_cancelled_leaves_nothing(nursery: Nursery, steps: int) -> None:
    """Wherever it was by then: no process, no open file."""
    await asyncio.sleep(0)
    us = psutil.Process()
    files, children = us.num_fds(), set(us.children())
    starting = asyncio.create_task(nursery.start("import time; time.sleep(60)"))
    for _ in range(steps):
        await asyncio.sleep(0)
    starting.cancel()
    await asyncio.wait([starting])
    if not starting.cancelled():
        await starting.result().stop(1)
    deadline = time.monotonic() + 5
    while us.num_fds() > files or set(us.children()) != children:
        assert time.monotonic() < deadline, us.open_files()
        await asyncio.sleep(0.01)


async def test_line_without_end_is_kept_in_pieces(nursery: Nursery) -> None:
    """A child that prints no newline does not fill our memory: its text does not wait for the end."""
    code = "import sys, time; sys.stdout.write('x' * 1_000_000); sys.stdout.flush(); time.sleep(60)"
    child = await nursery.start(code, max_bytes=2**22)
    kept = 0
    while kept < 990_000:
        piece = await asyncio.wait_for(nursery.lines.get(), 10)
        kept += len(piece)
        assert len(piece) <= 4096
    await child.stop(5)
    assert sum(map(len, nursery.events())) == 1_000_000


async def test_log_file_is_bounded(nursery: Nursery) -> None:
    """One old one is kept beside it."""
    child = await nursery.start("for i in range(20000): print('line', i)", max_bytes=2**16)
    await child.ended()
    files = sorted(nursery.log.parent.iterdir())
    assert [file.name for file in files] == ["child.log", "child.log.1"]
    assert sum(file.stat().st_size for file in files) <= 2 * 2**16
    assert nursery.events()[-1] == "line 19999"


async def test_stubborn_child_is_killed_after_its_grace(nursery: Nursery) -> None:
    """It ignores the polite signal."""
    child = await nursery.start(STUBBORN)
    assert await nursery.lines.get() == "up"
    began = time.monotonic()
    assert await child.stop(0.3) == -signal.SIGKILL
    assert 0.25 < time.monotonic() - began < 2


async def test_what_a_child_started_ends_with_it(nursery: Nursery) -> None:
    """Even where it ignores the polite signal and its parent is gone."""
    child = await nursery.start(PARENT)
    grandchild = psutil.Process(int(await nursery.lines.get()))
    os.kill(child.pid, signal.SIGKILL)
    assert await child.ended() == -signal.SIGKILL
    assert gone(grandchild)


async def test_stopping_twice_is_harmless(nursery: Nursery) -> None:
    """The second finds nothing to do."""
    child = await nursery.start("import time; time.sleep(60)")
    assert await child.stop(5) == await child.stop(5) == -signal.SIGTERM


def test_children_end_when_their_host_vanishes(tmp_path: Path) -> None:
    """Even by kill -9, and even those that ignore the polite signal."""
    host = subprocess.Popen(
        [sys.executable, "-c", HOST, PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert host.stdout is not None
    family = [psutil.Process(int(pid)) for pid in host.stdout.readline().split()]
    host.kill()
    began = time.monotonic()
    host.wait()
    host.stdout.close()
    while not all(map(gone, family)):
        assert time.monotonic() - began < 12, "something outlived its host"
        time.sleep(0.05)


def test_our_settings_and_secrets_are_not_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine needs neither; what else is in the environment it gets."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hunter2@db/zephyr")
    monkeypatch.setenv("ZEPHYR_PORT", "1")
    monkeypatch.setenv("HF_TOKEN", "theirs")
    handed_on = inherited_environment()
    assert not {"DATABASE_URL", "ZEPHYR_PORT"} & set(handed_on)
    assert handed_on["HF_TOKEN"] == "theirs"


def test_environment_of_a_command_is_not_shown() -> None:
    """It may hold a password."""
    assert "hunter2" not in repr(Command(argv=["x"], environment={"DATABASE_URL": "hunter2"}))


@pytest.mark.parametrize(
    ("status", "words"),
    [(0, "exit status 0"), (-15, "SIGTERM"), (-9, "SIGKILL (perhaps out of memory)"), (-99, "signal 99")],
)
def test_exit_status_is_said_in_words(status: int, words: str) -> None:
    """For whoever reads why a part has ended."""
    assert describe_exit(status) == words


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
