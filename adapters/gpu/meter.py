"""What the engine's own metrics say about its work."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adapters.engine.client import EngineClient
from adapters.engine.watch import EngineWatch
from adapters.errors import GatewayError
from adapters.gpu.schemas import EngineStats

# vLLM 0.32's names; one line for each engine behind the same server.
_RUNNING = "vllm:num_requests_running"
_WAITING = "vllm:num_requests_waiting"
_KV_CACHE = "vllm:kv_cache_usage_perc"
_PROMPT = "vllm:prompt_tokens_total"
_GENERATION = "vllm:generation_tokens_total"
_FIRST_SECONDS = "vllm:time_to_first_token_seconds_sum"
_FIRST_COUNT = "vllm:time_to_first_token_seconds_count"
_LONGEST_SECONDS = 60.0  # a rate over a longer time says nothing about now
_MOST = 2.0**53  # from here on a float does not count by ones
_NAMES = (_RUNNING, _WAITING, _KV_CACHE, _PROMPT, _GENERATION, _FIRST_SECONDS, _FIRST_COUNT)


@dataclass(frozen=True, slots=True)
class _Counted:
    at: float
    prompt: float
    generation: float
    first_seconds: float
    first_count: float


class EngineMeter:
    """Asks the engine, and makes rates of its counters."""

    def __init__(
        self, engines: Sequence[EngineClient], watch: EngineWatch, now: Callable[[], float] = time.monotonic
    ) -> None:
        """`engines` are all that there are, or the only address that is known."""
        self._engines = engines
        self._watch = watch
        self._now = now
        self._last: _Counted | None = None

    async def read(self) -> EngineStats:
        """The engine's state; rates are those since the last reading."""
        state = self._watch.state
        values = await self._values() if state.ready else {}
        counted = self._counted(values)
        last, self._last = self._last, counted
        prompt, generation = _rates(last, counted)
        return EngineStats(
            ready=state.ready,
            problem=state.told,
            running=_whole(values, _RUNNING),
            waiting=_whole(values, _WAITING),
            kv_cache_usage=_mean(values, _KV_CACHE),
            prompt_tokens_per_second=prompt,
            generation_tokens_per_second=generation,
            time_to_first_token_seconds=_first(last, counted),
        )

    async def _values(self) -> dict[str, list[float]]:
        replicas = self._watch.state.replicas
        if replicas is not None and replicas.all > len(self._engines):
            return {}  # a router gives the figures of any one of its engines
        found: dict[str, list[float]] = {}
        for values in await asyncio.gather(*map(self._of_one, self._engines)):
            for name, several in values.items():
                found.setdefault(name, []).extend(several)
        return found

    async def _of_one(self, engine: EngineClient) -> dict[str, list[float]]:
        try:
            status, body = await engine.get("/metrics")
        except GatewayError:
            return {}  # the watch will say what is wrong with it
        return samples(body) if status == 200 else {}

    def _counted(self, values: dict[str, list[float]]) -> _Counted | None:
        if _PROMPT not in values or _GENERATION not in values:
            return None
        totals = (sum(values.get(name, ())) for name in (_PROMPT, _GENERATION, _FIRST_SECONDS, _FIRST_COUNT))
        return _Counted(self._now(), *totals)


def samples(metrics: bytes) -> dict[str, list[float]]:
    """The values of the metrics that are wanted, from Prometheus' text format.

    The page has a thousand lines of which some five matter; a full parser takes ten times as long.
    """
    found: dict[str, list[float]] = {}
    for line in metrics.decode(errors="replace").splitlines():
        if line.startswith("vllm:"):
            name = line.partition("{")[0].partition(" ")[0]
            value = _number(line.rpartition(" ")[2]) if name in _NAMES else None
            if value is not None:
                found.setdefault(name, []).append(value)
    return found


def _number(text: str) -> float | None:
    """A count or a share; None for what cannot be one, as NaN."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < _MOST else None


def _rates(last: _Counted | None, now: _Counted | None) -> tuple[float | None, float | None]:
    # Counters that go back are those of an engine that has restarted.
    if last is None or now is None or now.prompt < last.prompt or now.generation < last.generation:
        return None, None
    seconds = now.at - last.at
    if not 0 < seconds <= _LONGEST_SECONDS:
        return None, None
    return (
        round((now.prompt - last.prompt) / seconds, 1),
        round((now.generation - last.generation) / seconds, 1),
    )


def _first(last: _Counted | None, now: _Counted | None) -> float | None:
    """The mean of those requests whose first token came since the last reading; None where there were none."""
    if last is None or now is None or now.first_count <= last.first_count:
        return None
    seconds = now.first_seconds - last.first_seconds
    return round(seconds / (now.first_count - last.first_count), 4) if seconds >= 0 else None


def _whole(values: dict[str, list[float]], name: str) -> int | None:
    return round(sum(values[name])) if name in values else None


def _mean(values: dict[str, list[float]], name: str) -> float | None:
    return round(sum(values[name]) / len(values[name]), 4) if name in values else None
