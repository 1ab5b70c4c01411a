"""One child process: its own process group, its output in a log file, its last lines at hand, its end complete."""

import asyncio
import contextlib
import os
import re
import signal
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

from serving.errors import CannotRun
from serving.process import watchdog
from serving.process.lifeline import Lifeline
from serving.process.logfile import LogFile

LAST_LINES = 30
LONGEST_LINE = 4096  # bytes; one that goes on is kept in pieces
_READ_BYTES = 64 * 1024
_GROUP_POLL_SECONDS = 0.02
_GROUP_GONE_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Command:
    """What to run. The environment is complete: nothing is inherited."""

    argv: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    directory: Path | None = None
    user: int | None = None  # who to run as, where not ourselves
    group: int | None = None
    stop_signal: signal.Signals = signal.SIGTERM


class Run(Protocol):
    """Runs a program to its end, as the supervisor does."""

    def __call__(
        self, name: str, command: Command, on_line: Callable[[str], None] = ...
    ) -> Awaitable[None]: ...


class Child:
    """A running process and all that it starts."""

    def __init__(
        self,
        command: Command,
        process: asyncio.subprocess.Process,
        output: asyncio.StreamReader,
        log: LogFile,
        lifeline: Lifeline,
    ) -> None:
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._command = command
        self._process = process
        self._output = output
        self._log = log
        self._lifeline = lifeline
        self._ended: asyncio.Task[int] | None = None

    @classmethod
    async def start(
        cls,
        command: Command,
        *,
        log: LogFile,
        lifeline: Lifeline,
        on_line: Callable[[str], None] = lambda line: None,
    ) -> Self:
        """Start it in a session of its own, so that a Ctrl-C at the terminal reaches only us.

        Whoever is cancelled meanwhile leaves nothing: neither process nor open file.

        Raises:
            CannotRun: the program cannot be started.
        """
        read_end, write_end = os.pipe()
        try:
            output, pipe = await reader_of(read_end)
            try:  # the last wait: from then on the child is watched
                process = await spawn(command, write_end)
            except BaseException:
                pipe.close()
                raise
        except OSError as error:
            log.close()
            raise CannotRun(f"{command.argv[0]} cannot be started: {error.strerror}") from error
        except BaseException:
            log.close()
            raise
        finally:
            os.close(write_end)
        lifeline.watch(process.pid, command.stop_signal)
        child = cls(command, process, output, log, lifeline)
        child._ended = asyncio.create_task(child._follow(on_line), name=f"follow {process.pid}")
        return child

    @property
    def log_file(self) -> Path:
        return self._log.path

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ended(self) -> int:
        """Wait until the process and its group are gone; the exit status, negative for a signal."""
        assert self._ended is not None
        return await asyncio.shield(self._ended)

    async def stop(self, grace: float) -> int:
        """Ask it to end; after `grace` seconds kill what is left. Safe to call twice."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(self._command.stop_signal)
        try:
            async with asyncio.timeout(grace):
                return await self.ended()
        except TimeoutError:
            watchdog.send(self.pid, signal.SIGKILL)
            return await self.ended()

    def kill(self) -> None:
        """End the whole group at once."""
        watchdog.send(self.pid, signal.SIGKILL)

    async def _follow(self, on_line: Callable[[str], None]) -> int:
        pump = asyncio.create_task(self._pump(on_line))
        status = await self._process.wait()
        await self._kill_what_is_left()
        self._lifeline.forget(self.pid)
        await asyncio.wait({pump}, timeout=_GROUP_GONE_SECONDS)
        pump.cancel()
        self._log.close()
        return status

    async def _kill_what_is_left(self) -> None:
        """The leader has ended and the rest has had its time. A killed process may stay in the table for a while."""
        deadline = time.monotonic() + _GROUP_GONE_SECONDS
        while watchdog.send(self.pid, signal.SIGKILL) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(_GROUP_POLL_SECONDS)

    async def _pump(self, on_line: Callable[[str], None]) -> None:
        """Keep what it prints. A progress bar redraws its line with a carriage return: each is a line here."""
        rest = b""
        while data := await self._output.read(_READ_BYTES):
            *lines, rest = re.split(rb"[\r\n]+", rest + data)
            for line in lines:
                self._keep(line, on_line)
            while len(rest) > LONGEST_LINE:
                self._keep(rest[:LONGEST_LINE], on_line)
                rest = rest[LONGEST_LINE:]
        self._keep(rest, on_line)

    def _keep(self, line: bytes, on_line: Callable[[str], None]) -> None:
        text = line.decode("utf-8", "replace").rstrip()
        if text:
            self.last_lines.append(text[:LONGEST_LINE])
            self._log.write(text)
            on_line(text)


async def spawn(command: Command, output: int) -> asyncio.subprocess.Process:
    """The pipe is ours: asyncio's own would have us wait for whoever else holds its other end."""
    return await asyncio.create_subprocess_exec(
        *command.argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=asyncio.subprocess.STDOUT,
        env=dict(command.environment),
        cwd=command.directory,
        start_new_session=True,
        user=command.user,
        group=command.group,
        extra_groups=None if command.user is None else [],
    )


async def reader_of(descriptor: int) -> tuple[asyncio.StreamReader, asyncio.ReadTransport]:
    """What reads there, and what closes it; it closes by itself at the end of what there is to read."""
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: protocol, os.fdopen(descriptor, "rb"))
    return reader, transport


def describe_exit(status: int) -> str:
    """The exit status in words."""
    if status >= 0:
        return f"exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"{name} (perhaps out of memory)" if status == -signal.SIGKILL else name


def inherited_environment(*without: str) -> dict[str, str]:
    """Our own environment without our settings and without what belongs to our own Python."""
    ours = ("ZEPHYR_", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "DATABASE_URL", "ENGINE_URL", *without)
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
