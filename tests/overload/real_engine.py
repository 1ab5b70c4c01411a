"""The real vLLM under the real host and gateway: killed in the middle of streams (R7), and frozen (R8)."""

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil

from serving.readiness import ask as ask_engine
from tests.acceptance.gateway import chat, read_until, seen_text
from tests.engine.engines import RealEngine
from tests.overload.stand import Stand, stand_before

STREAMS = 4
_LONGEST = 180.0


@dataclass(kw_only=True)
class Report:
    """What clients were told, and when."""

    told: list[float] = field(default_factory=list)
    """Seconds from a kill to the error event, of each stream."""
    back: list[float] = field(default_factory=list)
    """Seconds from a kill to a gateway that is ready again."""
    wrong: list[str] = field(default_factory=list)
    """What was not as it should be."""
    found_busy: float = 0.0
    found_idle: float = 0.0
    """Seconds from a freeze to `/readyz` saying so."""
    thawed: float = 0.0
    """Seconds from going on to ready again."""
    restarted: float = 0.0
    """Seconds from a freeze that does not end to ready again, by the host's restart."""

    def describe(self) -> str:
        """As the document shows it."""
        return (
            f"{len(self.back)} kills, {len(self.told)} streams: told after {max(self.told):.2f} s at most, ready again "
            f"after {max(self.back):.0f} s at most; wrong: {self.wrong or 'nothing'}\n"
            f"frozen with a stream open: found after {self.found_busy:.1f} s, ready {self.thawed:.1f} s after it went on\n"
            f"frozen while idle: found after {self.found_idle:.1f} s, restarted and ready after {self.restarted:.0f} s"
        )


def measure(kills: int, seed: int = 1) -> Report:
    """Freeze it with a stream open, freeze it idle, and kill its two processes in turn."""
    report, chance = Report(), random.Random(seed)
    engine = RealEngine()
    try:
        with stand_before(engine.url) as parts:
            _freeze_busy(parts, engine, report)
            _freeze_idle(parts, engine, report)
            for number in range(kills):
                _kill(parts, engine.core if number % 2 else engine.server, chance, report)
    finally:
        engine.close()
    return report


def _freeze_busy(parts: Stand, engine: RealEngine, report: Report) -> None:
    body = chat("Tell me a long story.", stream=True, max_tokens=4000, temperature=0)
    with parts.gateway.send(body) as stream:
        read_until(stream, b'"content":"')
        with _frozen(engine.core()):
            _meet_frozen(parts, engine, report)
    report.thawed = _until(parts, 200)


def _meet_frozen(parts: Stand, engine: RealEngine, report: Report) -> None:
    report.found_busy = _until(parts, 503)
    if ask_engine(engine.url, "/health").status != 200:
        report.wrong.append("the engine's health did not say 200")
    answer = parts.gateway.post("/v1/chat/completions", chat())
    if (answer.status, answer.error["code"]) != (503, "engine_unavailable"):
        report.wrong.append(f"a new request got {answer.status} {answer.error['code']}")


def _freeze_idle(parts: Stand, engine: RealEngine, report: Report) -> None:
    time.sleep(2.0)
    core = engine.core()
    core.send_signal(signal.SIGSTOP)
    frozen = time.monotonic()
    report.found_idle = _until(parts, 503)
    _until(parts, 200)
    report.restarted = time.monotonic() - frozen
    if core.is_running() and core.status() != psutil.STATUS_ZOMBIE:
        report.wrong.append("the frozen engine is still there")


def _kill(parts: Stand, victim: Callable[[], psutil.Process], chance: random.Random, report: Report) -> None:
    body = chat("Tell me a long story.", stream=True, max_tokens=4000, temperature=0)
    streams = [parts.gateway.send(body) for _ in range(STREAMS)]
    got = [read_until(stream, b'"content":"') for stream in streams]
    time.sleep(chance.uniform(0.0, 2.0))
    victim().kill()
    killed = time.monotonic()
    for number, stream in enumerate(streams):
        while not got[number].endswith(b"0\r\n\r\n") and (piece := stream.recv(65536)):
            got[number] += piece
        report.told.append(time.monotonic() - killed)
        stream.close()
    for one in got:
        text, errors = seen_text(one)
        id = one.partition(b"x-request-id: ")[2].partition(b"\r\n")[0].decode()
        exchange = parts.exchanges.get(id)
        said = exchange["answer"][0]["content"] if exchange["answer"] else ""
        if b"[DONE]" in one or [error["type"] for error in errors] != ["server_error"]:
            report.wrong.append(f"{id}: {one[-200:]!r}")
        if exchange["outcome"] != "failed" or said != text:
            report.wrong.append(f"{id}: {exchange['outcome']}, {len(said)} of {len(text)} characters")
    _until(parts, 503)
    _until(parts, 200)
    report.back.append(time.monotonic() - killed)


@contextmanager
def _frozen(process: psutil.Process) -> Iterator[None]:
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def _until(parts: Stand, status: int) -> float:
    """How long `/readyz` takes to say so."""
    began = time.monotonic()
    while parts.gateway.get("/readyz").status != status:
        if time.monotonic() - began > _LONGEST:
            raise TimeoutError(f"/readyz did not become {status} within {_LONGEST:.0f} s")
        time.sleep(0.02)
    return time.monotonic() - began
