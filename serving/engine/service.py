"""The engine as a service: vLLM on a socket of its own, checked, and only then published where the gateway looks."""

import asyncio
import os
from pathlib import Path

from serving.engine import hardware, models, profile, progress
from serving.engine.check import Check
from serving.engine.models import Model
from serving.engine.port import Port
from serving.engine.prepare import prepare, refuse_missing_engine
from serving.engine.pulse import Pulse, requests_open
from serving.engine.share import Share
from serving.errors import CannotRun
from serving.process.child import Command, Run, inherited_environment
from serving.readiness import NoAnswer, ask, until_well
from serving.reporting import Kind, Tell
from serving.settings import Settings

_READY_POLL_SECONDS = 0.5
_IDLE_LOOKS = 2  # in a row: a request that has just come may not be counted yet


class Engine:
    """vLLM on this machine, as a service of the supervisor.

    Each start listens on a socket of its own. The gateway knows only the published name, a symbolic link, which exists
    while a checked engine runs: an engine that was not checked cannot be reached. The same holds for the port, where
    one is set.
    """

    def __init__(
        self,
        settings: Settings,
        run: Run,
        tell: Tell,
        share: Share = Share(),  # noqa: B008  # frozen
        address: tuple[str, int] | None = None,
    ) -> None:
        """`address` is where it is reached by a port, too."""
        self.name = share.name
        self._share = share
        self.start_seconds = settings.engine_start_seconds
        self.stop_seconds = settings.engine_stop_seconds
        self._settings = settings
        self._run = run
        self._tell = tell
        self._published = settings.run / f"{self.name}.sock"
        self._port = Port(*address, settings.engine_connections) if address else None
        self._starts = 0
        self._model: Model | None = None
        self._advice = ""

    @property
    def url(self) -> str:
        """Where the gateway finds a checked engine."""
        return f"unix:{self._published}"

    async def command(self) -> Command:
        """Choose the model and how to run it, and get its files.

        Raises:
            CannotRun: there is no engine environment, model, memory or disk for it.
        """
        refuse_missing_engine(self._settings)
        machine = self._share.part(await asyncio.to_thread(hardware.look))
        self._model, why = models.choose(self._settings, machine)
        self._tell(self.name, "busy", f"serving {self._model.name}: {why}")
        folder = await prepare(self._model, self._settings, self._run, self._tell_as_own)
        chosen = profile.plan(machine, self._settings, self._model, folder)
        self._starts += 1
        self._advice = ""
        self.down()
        return Command(
            argv=[
                str(self._settings.engine_python),
                *profile.ENTRY,
                *chosen.arguments,
                "--uds",
                str(self._socket),
            ],
            environment=chosen.environment
            | inherited_environment("PG")
            | self._share.environment(machine, os.environ.get("CUDA_VISIBLE_DEVICES", "")),
        )

    def on_line(self, line: str) -> None:
        """Tell the steps of the start, and keep what may help if it fails."""
        if "Error" in line or "error" in line:
            self._advice = self._advice or progress.advise(line) or ""
        if not self._published.is_symlink() and (step := progress.describe(line)):
            self._tell(self.name, "busy", step)

    async def until_ready(self) -> None:
        """Wait until it answers, check what it answers, and publish it.

        Raises:
            WrongEngine: it answers wrongly.
        """
        if self._model is None:
            raise CannotRun("the engine was not started")
        url = f"unix:{self._socket}"
        await until_well(url, "/health", every=_READY_POLL_SECONDS)
        self._tell(self.name, "busy", "checking its answers")
        check = Check(url, self._model, self._settings.engine_check_seconds)
        await asyncio.to_thread(check.run)
        self._publish()
        if self._port:
            await self._port.open(self._socket)

    async def until_hung(self) -> str:
        """Wait until it shows no sign of work for longer than any step of it takes."""
        assert self._model is not None
        pulse = Pulse(f"unix:{self._socket}", self._model.name, self._settings.engine_silence_seconds)
        return await pulse.until_hung()

    def _tell_as_own(self, part: str, kind: Kind, text: str) -> None:
        """What is told of the model's files is told of this engine, whichever that is."""
        self._tell(self.name, kind, text)

    async def until_idle(self, seconds: float) -> bool:
        """Wait until nothing is generated; false where something still is after so long."""
        idle = 0
        try:
            async with asyncio.timeout(seconds):
                while idle < _IDLE_LOOKS:
                    idle = idle + 1 if await asyncio.to_thread(self._is_idle) else 0
                    await asyncio.sleep(_READY_POLL_SECONDS)
        except TimeoutError:
            return False
        return True

    def _is_idle(self) -> bool:
        try:
            return requests_open(ask(f"unix:{self._socket}", "/metrics").body) == 0
        except NoAnswer:  # busy, or gone: then its end is somebody else's to see
            return not self._socket.exists()

    def down(self) -> None:
        """Take the published name, the socket and the port away."""
        if self._port:
            self._port.close()
        self._published.unlink(missing_ok=True)
        self._socket.unlink(missing_ok=True)

    def advice(self) -> str:
        """What may help, by what it complained about first."""
        return self._advice

    @property
    def _socket(self) -> Path:
        return self._settings.run / f"{self.name}.{self._starts}.sock"

    def _publish(self) -> None:
        fresh = self._published.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(self._socket.name)
        fresh.replace(self._published)
