"""One sampler for all: it works while somebody watches, and leaves nothing behind."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from adapters.engine.client import EngineClient
from adapters.engine.watch import EngineWatch
from adapters.errors import Overloaded, ShuttingDown
from adapters.gpu.meter import EngineMeter
from adapters.gpu.nvml import Nvml
from adapters.gpu.sampler import Sampler
from adapters.gpu.schemas import Stats
from adapters.settings import EngineSettings, GpuSettings
from tests.fakes.nvml import FakeGpu, FakeNvml


class CountedNvml(FakeNvml):
    """Counts how often it was read."""

    def __init__(self) -> None:
        super().__init__(FakeGpu())
        self.readings = 0
        self.threads: set[str] = set()

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        self.readings += 1
        self.threads.add(threading.current_thread().name)
        return super().nvmlDeviceGetCount()


@pytest.fixture
def nvml() -> CountedNvml:
    return CountedNvml()


@pytest.fixture
async def sampler(nvml: CountedNvml) -> AsyncIterator[Sampler]:
    engine = EngineSettings.model_validate({"engine_url": "http://127.0.0.1:1"})
    client = EngineClient(engine)
    settings = GpuSettings.model_validate({"gpu_interval": 0.1, "gpu_max_sockets": 3})
    sampler = Sampler(Nvml(nvml), EngineMeter([client], EngineWatch(client, engine)), settings)
    yield sampler
    await sampler.close()


async def first(sampler: Sampler, count: int) -> list[Stats]:
    heard: list[Stats] = []
    async with aclosing(sampler.watch()) as watching:
        async for stats in watching:
            heard.append(stats)
            if len(heard) == count:
                break
    return heard


async def test_many_watchers_cost_one_sampling(sampler: Sampler, nvml: CountedNvml) -> None:
    heard = await asyncio.gather(*[first(sampler, 4) for _ in range(3)])
    assert all(len(one) == 4 for one in heard)
    assert 4 <= nvml.readings <= 5
    assert heard[0][0].gpus[0].memoryUsed == 14200
    assert not heard[0][0].engine.ready


async def test_nothing_is_sampled_when_the_last_watcher_has_left(sampler: Sampler, nvml: CountedNvml) -> None:
    tasks = asyncio.all_tasks()
    await first(sampler, 2)
    assert asyncio.all_tasks() == tasks
    readings = nvml.readings
    await asyncio.sleep(0.3)
    assert nvml.readings == readings
    await first(sampler, 2)
    assert nvml.readings > readings


async def test_asking_once_takes_a_fresh_enough_sample(sampler: Sampler, nvml: CountedNvml) -> None:
    await asyncio.gather(*[sampler.once() for _ in range(20)])
    assert nvml.readings == 1
    await asyncio.sleep(0.12)
    await sampler.once()
    assert nvml.readings == 2


async def test_no_more_watch_than_the_setting_allows(sampler: Sampler) -> None:
    async with aclosing(sampler.watch()) as one, aclosing(sampler.watch()) as two:
        async with aclosing(sampler.watch()) as three:
            for watching in (one, two, three):
                await anext(watching)
            with pytest.raises(Overloaded):
                sampler.check_room()
        sampler.check_room()


async def test_closing_ends_all_watching_and_gives_the_driver_back(
    sampler: Sampler, nvml: CountedNvml
) -> None:
    watching = asyncio.create_task(first(sampler, 1000))
    await asyncio.sleep(0.15)
    assert nvml.opened == 1
    await sampler.close()
    async with asyncio.timeout(1):
        assert len(await watching) < 1000
    assert nvml.opened == 0
    with pytest.raises(ShuttingDown):
        sampler.check_room()


async def test_the_driver_is_asked_off_the_loop_and_one_that_hangs_is_said_to(
    sampler: Sampler, nvml: CountedNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.gpu.sampler._DRIVER_SECONDS", 0.1)
    answer = threading.Event()
    nvml.before_reading = answer.wait
    stats = await sampler.once()
    assert (stats.gpus, stats.gpu_problem) == ([], "The NVIDIA driver does not answer.")
    await asyncio.sleep(0.1)
    await sampler.once()
    assert nvml.readings == 1, "a second question waits behind the first"
    answer.set()
    await asyncio.sleep(0.1)
    assert len((await sampler.once()).gpus) == 1
    assert all(name.startswith("nvml") for name in nvml.threads)
