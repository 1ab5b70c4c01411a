"""Keeps services running: starts them, waits until they are ready, restarts them with a growing pause, stops them."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self

from serving.errors import CannotRun, HostError, StartFailed
from serving.process.child import Child, Command, describe_exit
from serving.process.lifeline import Lifeline
from serving.process.logfile import LogFile
from serving.reporting import Tell
from serving.settings import Settings

LINES_SHOWN = 12
STEADY_SECONDS = 60.0  # up for so long, a service's earlier failures are forgotten


class Service(Protocol):
    """A part of the stack, as the supervisor sees it."""

    name: str
    start_seconds: float
    stop_seconds: float

    async def command(self) -> Command:
        """Make what it needs and say what to run; called before each start."""

    def on_line(self, line: str) -> None:
        """Take note of a line that it printed."""

    async def until_ready(self) -> None:
        """Return once it is ready; raise StartFailed or CannotRun if it never will be."""

    async def until_hung(self) -> str:
        """Return what is wrong once it runs and works no more; wait for ever where nobody looks."""

    def down(self) -> None:
        """Take back what was announced: it has ended, or is about to."""

    def advice(self) -> str:
        """What may help after it ended by itself; empty where nothing is known."""


class Supervisor:
    """The running services, by name. Leaving it ends whatever still runs."""

    def __init__(self, settings: Settings, tell: Tell) -> None:
        self._settings = settings
        self._tell = tell
        self._lifeline = Lifeline()
        self._keepers: dict[str, Keeper] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in reversed(list(self._keepers)):
            await self.stop(name)
        self._lifeline.close()

    def start(self, service: Service) -> None:
        """Start it and keep it running from now on."""
        keeper = Keeper(service, self._settings, self._tell, self._lifeline)
        self._keepers[service.name] = keeper
        keeper.task = asyncio.create_task(keeper.keep(), name=f"keep {service.name}")
        keeper.task.add_done_callback(keeper.tell_mistake)

    async def until_ready(self, name: str) -> None:
        """Wait for its first readiness; raise what stopped it if it was given up."""
        keeper = self._keepers[name]
        assert keeper.task is not None
        ready = asyncio.create_task(keeper.ready.wait())
        try:
            await asyncio.wait({ready, keeper.task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        if not keeper.ready.is_set():
            await keeper.task

    async def until_given_up(self, *names: str) -> None:
        """Wait until one of these is given up, and raise why. Services that are not run here do not count."""
        tasks = {keeper.task for name, keeper in self._keepers.items() if name in names and keeper.task}
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await done.pop()

    def is_up(self, name: str) -> bool:
        """Whether it is ready now."""
        return name in self._keepers and self._keepers[name].up.is_set()

    async def until_up(self, name: str) -> None:
        """Wait until it is ready, if it is not, for as long as that takes."""
        await self._keepers[name].up.wait()

    async def restart(self, name: str) -> None:
        """End it and start it again, at once and without counting it as a failure; return when it is ready.

        Raises:
            HostError: it did not come up at the first try. It is kept on being started as ever.
        """
        await self._keepers[name].restart()

    async def run_once(
        self, name: str, command: Command, on_line: Callable[[str], None] = lambda line: None
    ) -> None:
        """Run something to its end.

        Raises:
            CannotRun: it failed; with its last lines.
        """
        self._tell(name, "busy", "running")
        child = await Child.start(command, log=self._log(name), lifeline=self._lifeline, on_line=on_line)
        try:
            status = await child.ended()
        finally:
            await child.stop(self._settings.stop_seconds)
        if status != 0:
            raise CannotRun(f"{name} failed ({describe_exit(status)}):\n{last_lines(child)}")
        self._tell(name, "ready", "done")

    async def stop(self, name: str) -> None:
        """End one service, if it was started; it is not restarted."""
        if name in self._keepers:
            await self._keepers[name].stop()
            del self._keepers[name]

    def hurry(self) -> None:
        """Kill what is still running: somebody asked twice."""
        for keeper in self._keepers.values():
            keeper.kill()

    def _log(self, name: str) -> LogFile:
        return log_of(name, self._settings)


class Keeper:
    """Keeps one service running."""

    def __init__(self, service: Service, settings: Settings, tell: Tell, lifeline: Lifeline) -> None:
        self.ready = asyncio.Event()
        """It has been ready once."""
        self.up = asyncio.Event()
        """It is ready now."""
        self.task: asyncio.Task[None] | None = None
        self._service = service
        self._settings = settings
        self._tell = tell
        self._lifeline = lifeline
        self._child: Child | None = None
        self._failures = 0
        self._end_life = asyncio.Event()
        self._asked: asyncio.Future[None] | None = None

    async def keep(self) -> None:
        """Run it again and again.

        Raises:
            CannotRun: it is given up. Its task ends with this; the other services go on.
        """
        while True:
            try:
                await self._run()
                continue  # as it was asked to
            except StartFailed as error:
                self._failures += 1
                self._answer(error)
                if self._failures >= self._settings.start_tries and not self.ready.is_set():
                    raise self._given_up(f"{error}\nGiven up after {self._failures} tries.") from None
                self._tell(self._service.name, "trouble", str(error))
            except CannotRun as error:
                self._answer(error)
                raise self._given_up(str(error)) from None
            await self._pause()

    def tell_mistake(self, task: asyncio.Task[None]) -> None:
        """An error that is none of the expected ones must not end the task in silence."""
        if not task.cancelled() and not isinstance(task.exception(), HostError):
            self._tell(self._service.name, "trouble", f"no longer kept running: {task.exception()!r}")

    def _given_up(self, text: str) -> CannotRun:
        self._tell(self._service.name, "trouble", text)
        return CannotRun(f"{self._service.name}: {text}")

    async def _pause(self) -> None:
        seconds = min(
            self._settings.restart_seconds * 2 ** (self._failures - 1), self._settings.restart_max_seconds
        )
        self._tell(self._service.name, "busy", f"starting again in {seconds:.0f} s")
        await asyncio.sleep(seconds)

    async def _run(self) -> None:
        """One life of the service, from its start to its end; returns where that was asked for.

        Raises:
            HostError: it did not come up, or ended by itself.
        """
        began = time.monotonic()
        self._tell(self._service.name, "busy", "starting")
        command = await self._service.command()
        self._child = await Child.start(
            command, log=self._log(), lifeline=self._lifeline, on_line=self._service.on_line
        )
        try:
            await self._until_ready(self._child)
            self.ready.set()
            self.up.set()
            self._answer(None)
            up_since = time.monotonic()
            self._tell(self._service.name, "ready", f"ready after {up_since - began:.1f} s")
            why = await self._until_over(self._child)
        finally:
            self.up.clear()
            self._service.down()
            await self._child.stop(self._service.stop_seconds)
        if time.monotonic() - up_since > STEADY_SECONDS:
            self._failures = 0
        if why is not None:
            raise self._failure(why, self._child)

    async def _until_ready(self, child: Child) -> None:
        ready = asyncio.create_task(self._service.until_ready())
        ended = asyncio.create_task(child.ended())
        try:
            await asyncio.wait(
                {ready, ended}, timeout=self._service.start_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if ended.done():
                raise self._failure(f"ended before it was ready ({describe_exit(ended.result())})", child)
            if not ready.done():
                raise self._failure(f"not ready after {self._service.start_seconds:.0f} s", child)
            await ready
        finally:
            ready.cancel()
            ended.cancel()

    async def restart(self) -> None:
        """End this life of it, where it has one, and wait until the next has begun.

        Raises:
            HostError: it did not come up at the first try.
        """
        self._asked = asyncio.get_running_loop().create_future()
        self._end_life.set()
        await self._asked

    def _answer(self, error: HostError | None) -> None:
        """Tell whoever asked for a restart how it went."""
        if self._asked is None or self._asked.done() or self._end_life.is_set():
            return
        if error is None:
            self._asked.set_result(None)
        else:
            self._asked.set_exception(error)

    async def _until_over(self, child: Child) -> str | None:
        """Wait until it has ended or hangs, and say which; None where it is to be restarted."""
        hung = asyncio.create_task(self._service.until_hung())
        ended = asyncio.create_task(child.ended())
        asked = asyncio.create_task(self._end_life.wait())
        try:
            await asyncio.wait({hung, ended, asked}, return_when=asyncio.FIRST_COMPLETED)
            if asked.done():
                self._end_life.clear()
                return None
            if ended.done():
                return f"ended by itself ({describe_exit(ended.result())})"
            return await hung
        finally:
            hung.cancel()
            ended.cancel()
            asked.cancel()

    def _failure(self, what: str, child: Child) -> StartFailed:
        advice = self._service.advice()
        return StartFailed(f"{what}:\n{last_lines(child)}" + (f"\n{advice}" if advice else ""))

    def _log(self) -> LogFile:
        return log_of(self._service.name, self._settings)

    async def stop(self) -> None:
        """End it for good."""
        assert self.task is not None
        self._tell(self._service.name, "busy", "stopping")
        self.task.cancel()
        with suppress(asyncio.CancelledError, HostError):
            await self.task
        self._tell(self._service.name, "stopped", "stopped")

    def kill(self) -> None:
        if self._child is not None:
            self._child.kill()


def log_of(name: str, settings: Settings) -> LogFile:
    """The log of one part; its lines are among the host's own where those are JSON."""
    path = settings.logs / f"{name}.log"
    return LogFile(path, settings.log_max_bytes, echo=settings.log_format == "json")


def last_lines(child: Child) -> str:
    """The end of what it printed, indented, and where the rest is."""
    lines = [*child.last_lines][-LINES_SHOWN:] or ["(it printed nothing)"]
    return "\n".join(f"    {line}" for line in lines) + f"\n    (all of it: {child.log_file})"
