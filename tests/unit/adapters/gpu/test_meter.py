"""The engine's metrics, read against the scripted engine."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from adapters.engine.client import EngineClient
from adapters.engine.watch import EngineWatch
from adapters.gpu.meter import EngineMeter, samples
from adapters.settings import EngineSettings
from tests.fakes.engine import ScriptedEngine


class Clock:
    """A time that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def engine() -> Iterator[ScriptedEngine]:
    with ScriptedEngine() as engine:
        yield engine


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def meter(engine: ScriptedEngine, clock: Clock) -> AsyncIterator[EngineMeter]:
    settings = EngineSettings.model_validate({"engine_url": engine.url, "engine_probe_seconds": 0.02})
    client = EngineClient(settings)
    watch = EngineWatch(client, settings)
    watch.start()
    limit = time.monotonic() + 5
    while not watch.state.ready:
        assert time.monotonic() < limit
        await asyncio.sleep(0.01)
    yield EngineMeter([client], watch, clock)
    await watch.close()
    client.close()


async def test_the_engines_work_is_read_and_counters_become_rates(
    engine: ScriptedEngine, meter: EngineMeter, clock: Clock
) -> None:
    engine.waiting = 3
    first = await meter.read()
    assert (first.ready, first.problem) == (True, None)
    assert (first.running, first.waiting, first.kv_cache_usage) == (0, 3, 0.25)
    assert first.prompt_tokens_per_second is None
    engine.prompt_tokens, engine.generation_tokens, clock.now = 50, 20, 102.0
    second = await meter.read()
    assert (second.prompt_tokens_per_second, second.generation_tokens_per_second) == (25.0, 10.0)
    clock.now = 103.0
    assert (await meter.read()).generation_tokens_per_second == 0.0


async def test_the_time_to_the_first_token_is_that_of_the_requests_since_the_last_reading(
    engine: ScriptedEngine, meter: EngineMeter, clock: Clock
) -> None:
    engine.first_tokens, engine.first_token_seconds = 10, 9.0
    assert (await meter.read()).time_to_first_token_seconds is None
    engine.first_tokens, engine.first_token_seconds, clock.now = 12, 9.5, 101.0
    assert (await meter.read()).time_to_first_token_seconds == 0.25
    clock.now = 102.0
    assert (await meter.read()).time_to_first_token_seconds is None


async def test_a_restarted_engine_and_a_long_pause_give_no_rate(
    engine: ScriptedEngine, meter: EngineMeter, clock: Clock
) -> None:
    engine.generation_tokens = 100
    await meter.read()
    engine.generation_tokens, clock.now = 5, 101.0
    assert (await meter.read()).generation_tokens_per_second is None
    engine.generation_tokens, clock.now = 6, 1000.0
    assert (await meter.read()).generation_tokens_per_second is None


async def test_an_engine_that_is_gone_is_said_to_be(engine: ScriptedEngine, meter: EngineMeter) -> None:
    engine.stop()
    await asyncio.sleep(0.2)
    gone = await meter.read()
    assert gone.ready is False
    assert gone.problem is not None
    assert "engine" in gone.problem
    assert (gone.running, gone.kv_cache_usage, gone.generation_tokens_per_second) == (None, None, None)


async def test_engines_behind_a_router_are_added_up_where_all_are_known(
    engine: ScriptedEngine, clock: Clock
) -> None:
    """What a router gives is the figures of one of them, which are no answer for all."""
    engine.readiness_page = b'{"healthy_workers": 2, "total_workers": 2}'
    engine.waiting, engine.generation_tokens = 3, 10
    settings = EngineSettings.model_validate(
        {"engine_url": engine.url, "engine_health_path": "/readiness", "engine_probe_seconds": 0.02}
    )
    with ScriptedEngine() as other:
        other.waiting, other.generation_tokens = 4, 100
        clients = [
            EngineClient(settings.model_copy(update={"engine_url": one.url})) for one in (engine, other)
        ]
        watch = EngineWatch(clients[0], settings)
        watch.start()
        limit = time.monotonic() + 5
        while not watch.state.ready:
            assert time.monotonic() < limit
            await asyncio.sleep(0.01)
        unknown = await EngineMeter(clients[:1], watch, clock).read()
        assert (unknown.ready, unknown.waiting, unknown.kv_cache_usage) == (True, None, None)
        meter = EngineMeter(clients, watch, clock)
        assert (await meter.read()).waiting == 7
        engine.generation_tokens, other.generation_tokens, clock.now = 20, 120, 101.0
        assert (await meter.read()).generation_tokens_per_second == 30.0
        other.stop()
        clock.now = 102.0
        assert (await meter.read()).generation_tokens_per_second is None
        await watch.close()
        for one in clients:
            one.close()


def test_several_engines_behind_one_server_are_all_read() -> None:
    page = (
        b"# HELP vllm:num_requests_running x\n"
        b'vllm:num_requests_running{engine="0",model_name="a b"} 2.0\n'
        b'vllm:num_requests_running{engine="1",model_name="a b"} 3.0\n'
        b'vllm:num_requests_running_other{engine="1"} 9.0\n'
        b"process_open_fds 7.0\n"
    )
    assert samples(page) == {"vllm:num_requests_running": [2.0, 3.0]}


@pytest.mark.parametrize(
    "value", [b"NaN", b"+Inf", b"-Inf", b"1e400", b"1e308", b"-1", b"", b"\xff", b"many"]
)
def test_a_value_that_cannot_be_is_passed_over(value: bytes) -> None:
    page = b'vllm:num_requests_running{engine="0"} %b\nvllm:num_requests_running{engine="1"} 3.0\n' % value
    assert samples(page) == {"vllm:num_requests_running": [3.0]}
