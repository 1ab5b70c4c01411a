"""What is measured of one relay in one round, in an order in which nothing finds the backlog of what came before."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil

from benchmarks.processes import Process, cpu_seconds

_START_SECONDS = 120
_OPENING_SECONDS = 30  # for the streams that are held
_AWAKE = Path(__file__).with_name("awake.py")
_RATE_WANTED = 0.95  # of the asked rate; a starved relay reads many events at once and looks cheap
_RATE_WANTED_FAST = 0.875


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long each measurement takes, in seconds, and how many streams are held open."""

    latency: float = 3.0
    load: float = 5.0
    held: int = 1000
    held_seconds: float = 5.0


@dataclass(frozen=True, kw_only=True)
class Target:
    """A relay that runs, or the engine itself."""

    port: int
    api_key: str
    process: Process | None
    """None of the engine: what it costs is not a relay's cost."""


@dataclass(frozen=True, kw_only=True)
class Cores:
    """Which core runs the relay, and which everything else."""

    relay: int
    rest: int


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the load client saw. Times are in microseconds."""

    answers: int
    errors: int
    unfinished: int
    events: int = 0
    events_per_second: float = 0.0
    total_p50_us: float = 0.0
    first_p50_us: float = 0.0
    tail_p50_us: float = 0.0


@dataclass(kw_only=True)
class Figures:
    """One relay in one round; None is what could not be measured."""

    start_seconds: float | None = None
    """From the start of the process to its first answer."""
    idle_mb: float | None = None
    held_mb: float | None = None
    """With the streams of the plan open."""
    peak_mb: float | None = None
    plain_us: float | None = None
    """Processor time for one plain request, 32 at once."""
    plain_per_second: float | None = None
    plain_database_us: float | None = None
    """PostgreSQL's own processor time for it; not part of `plain_us`."""
    chunk_us: float | None = None
    """Processor time for one event of 64 streams with 10 ms between events; a stream's own cost is in it, shared."""
    chunks_per_second: float | None = None
    chunk_rate_met: bool = True
    fast_chunk_us: float | None = None
    """The same with 2 ms between events."""
    fast_chunks_per_second: float | None = None
    fast_chunk_rate_met: bool = True
    plain_p50_us: float | None = None
    """Time to a plain answer, one client."""
    first_p50_us: float | None = None
    """Time to the first event of a stream, one client."""
    tail_p50_us: float | None = None
    """From the last event of text to the end of the stream, four clients."""
    answers: int = 0
    """Whole answers that clients got, of those measurements that let all of them end."""
    errors: int = 0


class Measurement:
    """Measures one running relay."""

    def __init__(
        self,
        target: Target,
        *,
        load: Path,
        cores: Cores,
        plan: Plan,
        folder: Path,
        database_pid: int,
        engine_pid: int,
    ) -> None:
        self._target = target
        self._load = load
        self._cores = cores
        self._plan = plan
        self._folder = folder
        self._database_pid = database_pid
        self._engine_pid = engine_pid
        self.figures = Figures()

    def all(self) -> Figures:
        """Measure everything. The relay has given its first answer before."""
        self._idle()
        with self._awake():
            self._latency()
        self._plain()
        self._streams()
        self._held()
        self._peak()
        return self.figures

    def _idle(self) -> None:
        if self._target.process is not None:
            self.figures.idle_mb = self._target.process.memory_mb()

    def _latency(self) -> None:
        seconds = self._plan.latency
        self.figures.plain_p50_us = self._run(1, seconds).total_p50_us
        self.figures.first_p50_us = self._run(1, seconds, events=4, pace=2000).first_p50_us
        self.figures.tail_p50_us = self._run(4, seconds, events=16, pace=2000).tail_p50_us

    def _plain(self) -> None:
        self._run(32, 0.5)
        cost, database_cost = self._cost(), cpu_seconds(self._database_pid)
        seen = self._run(32, self._plan.load)
        self.figures.plain_us = _each(self._cost(), cost, seen.answers)
        self.figures.plain_database_us = _each(cpu_seconds(self._database_pid), database_cost, seen.answers)
        self.figures.plain_per_second = seen.answers / self._plan.load

    def _streams(self) -> None:
        cost = self._cost()
        seen = self._run(64, self._plan.load, events=64, pace=10_000)
        self.figures.chunk_us = _each(self._cost(), cost, seen.events)
        self.figures.chunks_per_second = seen.events_per_second
        self.figures.chunk_rate_met = seen.events_per_second >= _RATE_WANTED * 6400
        cost = self._cost()
        seen = self._run(64, self._plan.load, events=64, pace=2_000)
        self.figures.fast_chunk_us = _each(self._cost(), cost, seen.events)
        self.figures.fast_chunks_per_second = seen.events_per_second
        self.figures.fast_chunk_rate_met = seen.events_per_second >= _RATE_WANTED_FAST * 32_000

    def _held(self) -> None:
        """Hold many slow streams open, make sure that they are, and look at the memory."""
        process = self._target.process
        if process is None:
            return
        command = self._command(self._plan.held, 60, events=60, pace=1_000_000)
        log = self._folder / "held.log"
        with Process(command, core=self._cores.rest, log=log, environment=self._environment):
            limit = time.monotonic() + _OPENING_SECONDS
            while self._open_at_engine() < self._plan.held:
                if time.monotonic() > limit:
                    return
                time.sleep(0.1)
            time.sleep(self._plan.held_seconds)
            self.figures.held_mb = process.memory_mb()

    def _peak(self) -> None:
        if self._target.process is not None:
            self.figures.peak_mb = self._target.process.peak_memory_mb()

    def _open_at_engine(self) -> int:
        connections = psutil.Process(self._engine_pid).net_connections("tcp4")
        return sum(connection.status == psutil.CONN_ESTABLISHED for connection in connections)

    def _cost(self) -> float | None:
        process = self._target.process
        return None if process is None else cpu_seconds(process.pid)

    def _run(self, clients: int, seconds: float, *, events: int = 0, pace: int = 0) -> Seen:
        command = self._command(clients, seconds, events=events, pace=pace)
        core = self._cores.rest
        printed = subprocess.run(
            command,
            env=self._environment,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
            check=True,
            capture_output=True,
        ).stdout
        seen = msgspec.json.decode(printed, type=Seen)
        self.figures.answers += seen.answers - seen.errors
        self.figures.errors += seen.errors + seen.unfinished
        return seen

    def _command(self, clients: int, seconds: float, *, events: int, pace: int) -> list[str | Path]:
        streams = [str(events), str(pace)] if events else []
        return [self._load, str(self._target.port), str(clients), str(seconds), *streams]

    @property
    def _environment(self) -> dict[str, str]:
        return {"LOAD_KEY": self._target.api_key}

    @contextmanager
    def _awake(self) -> Iterator[None]:
        """Keep both cores from idling: a virtual machine's wake-ups cost more than a relay adds."""
        with ExitStack() as stack:
            for core in (self._cores.relay, self._cores.rest):
                spinner = Process([sys.executable, _AWAKE], core=core, log=self._folder / "awake.log")
                stack.enter_context(spinner)
            yield


def wait_for_answer(target: Target) -> None:
    """Ask until there is a whole answer.

    Raises:
        RuntimeError: the relay has ended, or there was no answer in time.
    """
    limit = time.monotonic() + _START_SECONDS
    while not _answers(target):
        process = target.process
        if time.monotonic() > limit or (process is not None and process.ended):
            raise RuntimeError(f"no answer:\n{process.last_words if process else ''}")
        time.sleep(0.005)


def _answers(target: Target) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=30)
    body = json.dumps({"model": "null-model", "messages": [{"role": "user", "content": "hello"}]})
    headers = {"content-type": "application/json", "authorization": f"Bearer {target.api_key}"}
    try:
        connection.request("POST", "/v1/chat/completions", body, headers)
        with connection.getresponse() as response:
            response.read()
            return response.status == 200
    except OSError:
        return False  # not listening yet
    finally:
        connection.close()


def _each(after: float | None, before: float | None, count: int) -> float | None:
    if after is None or before is None or count == 0:
        return None
    return (after - before) / count * 1e6
