"""A process, on one core where that is wanted, with what it has cost so far."""

import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

_STOP_SECONDS = 10


class Process:
    """A process and its children. As a context manager it runs inside and is gone afterwards."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        core: int | None = None,
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`environment` is added to what a program needs to be found and to run; nothing else is inherited."""
        self._command = command
        self._core = core
        self._log = log
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(log.parent)} | dict(environment or {})
        self._process: psutil.Popen

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = psutil.Popen(
                self._command,
                env=self._environment,
                stdout=log,
                stderr=log,
                preexec_fn=self._stay_on_core,  # before it has any thread
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        family = family_of(self._process.pid)
        self._process.terminate()
        _, stubborn = psutil.wait_procs(family, timeout=_STOP_SECONDS)
        for process in stubborn:
            process.kill()
        psutil.wait_procs(stubborn)

    def _stay_on_core(self) -> None:
        if self._core is not None:
            os.sched_setaffinity(0, {self._core})

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process.poll() is not None

    @property
    def last_words(self) -> str:
        """The end of its output."""
        return self._log.read_text(errors="replace")[-2000:]

    def memory_mb(self) -> float:
        """Memory that it and its children hold now, in MB (resident; shared pages count in each)."""
        return sum(process.memory_info().rss for process in family_of(self.pid)) / 1e6

    def peak_memory_mb(self) -> float:
        """The most memory that each of them ever held, in MB."""
        return sum(_peak_kib(process.pid) for process in family_of(self.pid)) * 1024 / 1e6


def cpu_seconds(pid: int) -> float:
    """Processor time, user and system, that a process and its living children have used."""
    times = [process.cpu_times() for process in family_of(pid)]
    return float(sum(time.user + time.system for time in times))


def family_of(pid: int) -> list[psutil.Process]:
    """A process and all its descendants."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def stop_in_order() -> None:
    """Have SIGTERM unwind this program, so that what it started ends with it."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _peak_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0
