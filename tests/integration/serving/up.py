"""`zephyr up` as a process of its own."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from serving.readiness import NoAnswer, ask
from tests.acceptance.gateway import free_port


class Up:
    """One `zephyr up` with a home of its own."""

    def __init__(self, home: Path, *flags: str, **settings: str) -> None:
        self.home = home
        self.port = int(settings.get("ZEPHYR_PORT") or free_port())
        self.url = f"http://127.0.0.1:{self.port}"
        own = {"ZEPHYR_HOME": str(home), "ZEPHYR_PORT": str(self.port), "ZEPHYR_RESTART_SECONDS": "0.1"}
        own["ZEPHYR_ADMIN_PORT"] = "0"
        self._environment = os.environ | own | settings
        self.process = self._start("up", *flags)

    def _start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "zephyr", *command],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait(self, seconds: float = 30.0) -> str:
        """Its output, once it has ended."""
        return self.process.communicate(timeout=seconds)[0]

    def until(self, path: str, status: int, seconds: float = 40.0) -> Any:
        """The JSON of an answer, once it has the status."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            assert self.process.poll() is None, self.wait()
            try:
                answer = ask(self.url, path)
            except NoAnswer:
                time.sleep(0.1)
                continue
            if answer.status == status:
                return answer.json()
            time.sleep(0.1)
        raise AssertionError(f"{path} did not come to {status}")

    def family(self) -> list[psutil.Process]:
        """Everything it has started."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, word: str) -> psutil.Process | None:
        """The running child whose command line has a word."""
        children = [p for p in psutil.Process(self.process.pid).children() if running(p)]
        return next((child for child in children if word in " ".join(child.cmdline())), None)


def running(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
