"""More requests than can be answered: they arrive when they arrive, whether the ones before are answered or not (R11)."""

import asyncio
import random
import time
from dataclasses import dataclass

from tests.fakes.engine import Script, ScriptedEngine
from tests.overload.asking import Seen, ask
from tests.overload.stand import MIB, percentile, stand

EVENTS = 10


@dataclass(frozen=True, kw_only=True)
class Load:
    """What clients saw under one load."""

    seconds: float
    seen: list[Seen]

    @property
    def answered(self) -> list[Seen]:
        return [one for one in self.seen if one.kind == "answered"]

    @property
    def refused(self) -> list[Seen]:
        return [one for one in self.seen if one.kind == "refused"]

    @property
    def goodput(self) -> float:
        """Whole answers a second."""
        return len(self.answered) / self.seconds


@dataclass(frozen=True, kw_only=True)
class Report:
    """The peak, a load that fits, and one that does not."""

    peak: Load
    fitting: Load
    excessive: Load
    most_at_the_engine: int
    places: int
    memory_growth: int

    def describe(self) -> str:
        """As the document shows it."""
        over, fits = self.excessive, self.fitting
        told = all(one.retry_after and one.shaped for one in over.refused)
        broken = sum(one.kind == "broken" for one in over.seen)
        return "\n".join(
            [
                f"goodput at peak {self.peak.goodput:.1f}/s, under {len(over.seen) / over.seconds:.0f} requests/s "
                f"{over.goodput:.1f}/s ({over.goodput / self.peak.goodput:.0%})",
                f"refused {len(over.refused)} of {len(over.seen)}, p99 after "
                f"{percentile([one.whole for one in over.refused], 0.99) * 1000:.1f} ms, all with Retry-After and error "
                f"body: {told}; broken {broken}",
                f"first event p99 {percentile([one.first for one in over.answered], 0.99) * 1000:.0f} ms, at 80 % load "
                f"{percentile([one.first for one in fits.answered], 0.99) * 1000:.0f} ms",
                f"most at the engine {self.most_at_the_engine} (places {self.places}), memory "
                f"{self.memory_growth / MIB:+.1f} MiB",
            ]
        )


def measure(
    *, places: int, service: float, seconds: float, seed: int = 1, database_url: str | None = None
) -> Report:
    """Measure with an engine that takes `service` seconds for each answer, and `places` answers at once."""
    with stand(database_url, ZEPHYR_MAX_OPEN_GENERATIONS=str(places)) as parts:
        parts.engine.script = Script(pieces=("word ",) * (EVENTS - 3), pause=service / EVENTS)
        port, chance, capacity = parts.gateway.port, random.Random(seed), places / service
        asyncio.run(_closed(port, places, min(seconds, 2.0)))  # warm
        peak = asyncio.run(_closed(port, places, seconds))
        before = parts.held().memory
        fitting = asyncio.run(_open(port, 0.8 * capacity, seconds, chance))
        watch = _Watch(parts.engine)
        excessive = asyncio.run(_open(port, 4 * capacity, seconds, chance, watch))
        return Report(
            peak=peak,
            fitting=fitting,
            excessive=excessive,
            most_at_the_engine=watch.most,
            places=places,
            memory_growth=parts.held().memory - before,
        )


class _Watch:
    def __init__(self, engine: ScriptedEngine) -> None:
        self._engine = engine
        self.most = 0

    def look(self) -> None:
        self.most = max(self.most, self._engine.running)


async def _closed(port: int, clients: int, seconds: float) -> Load:
    """Clients that ask again as soon as they are answered: as much as can be had."""
    until, seen = time.monotonic() + seconds, []

    async def one_client() -> None:
        while time.monotonic() < until:
            seen.append(await ask(port, "hello"))

    began = time.monotonic()
    await asyncio.gather(*(one_client() for _ in range(clients)))
    return Load(seconds=time.monotonic() - began, seen=seen)


async def _open(
    port: int, rate: float, seconds: float, chance: random.Random, watch: _Watch | None = None
) -> Load:
    """Arrivals of a Poisson process."""
    began = due = time.monotonic()
    asking: list[asyncio.Task[Seen]] = []
    while due < began + seconds:
        await asyncio.sleep(due - time.monotonic())
        asking.append(asyncio.create_task(ask(port, "hello", due)))
        if watch is not None:
            watch.look()
        due += chance.expovariate(rate)
    seen = await asyncio.gather(*asking)
    return Load(seconds=time.monotonic() - began, seen=seen)
