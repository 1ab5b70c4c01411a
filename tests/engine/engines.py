"""A real vLLM for tests, started by the host's own code: prepared, launched, checked and published as `zephyr engine` does."""

import asyncio
import shutil
import tempfile
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from serving.engine.service import Engine
from serving.readiness import ask
from serving.reporting import Kind
from serving.settings import Settings
from serving.supervisor import Supervisor

ANSWER_SECONDS = 120.0


class RealEngine:
    """One checked vLLM. It runs from the first use until `close`."""

    def __init__(
        self, model: Path | None = None, *extra_arguments: str, traces_endpoint: str | None = None
    ) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="zephyr-"))  # short: sockets lie in it
        self.said: list[str] = []
        settings = Settings(
            home=self.home,
            model=None if model is None else str(model),
            engine_extra_args=extra_arguments,
            engine_kv_cache_gib=1.0,
            start_tries=1,
            traces_endpoint=traces_endpoint,
        )  # type: ignore[call-arg]  # the rest has defaults
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        ready: Future[str] = Future()
        self._thread = threading.Thread(target=self._run, args=(settings, ready), name="engine")
        self._thread.start()
        try:
            self.url = ready.result()
        except BaseException:
            self.close()
            raise
        self.model: str = self.get("/v1/models")["data"][0]["id"]

    def get(self, path: str) -> Any:
        """The JSON that a GET is answered with."""
        return ask(self.url, path, timeout=ANSWER_SECONDS).json()

    def post(self, path: str, body: Mapping[str, object]) -> Any:
        """The JSON that a POST is answered with."""
        return ask(self.url, path, {"model": self.model, **body}, timeout=ANSWER_SECONDS).json()

    def metric(self, name: str) -> float:
        """The sum of a metric's samples at this moment."""
        lines = ask(self.url, "/metrics", timeout=ANSWER_SECONDS).body.decode().splitlines()
        return sum(
            float(line.rpartition(" ")[2]) for line in lines if line.startswith((name + "{", name + " "))
        )

    def server(self) -> psutil.Process:
        """The process that answers HTTP."""
        socket = str((self.home / "run" / "engine.sock").resolve())
        parts = psutil.Process().children(recursive=True)
        return next(part for part in parts if socket in part.cmdline())

    def core(self) -> psutil.Process:
        """The process in which the model runs."""
        return next(part for part in self.server().children() if "EngineCore" in part.name())

    def close(self) -> None:
        """End it and remove what it kept."""
        if self._loop is not None and self._stop is not None:
            with suppress(RuntimeError):  # the loop is closed: it has ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        shutil.rmtree(self.home, ignore_errors=True)

    def _run(self, settings: Settings, ready: Future[str]) -> None:
        try:
            asyncio.run(self._supervise(settings, ready))
        except BaseException as error:  # noqa: BLE001  # it belongs to the thread that waits for readiness
            ready.set_exception(error)

    async def _supervise(self, settings: Settings, ready: Future[str]) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        settings.run.mkdir()
        async with Supervisor(settings, self._tell) as supervisor:
            engine = Engine(settings, supervisor.run_once, self._tell)
            supervisor.start(engine)
            await supervisor.until_ready("engine")
            ready.set_result(engine.url)
            await self._stop.wait()

    def _tell(self, part: str, kind: Kind, text: str) -> None:
        self.said.append(text)
