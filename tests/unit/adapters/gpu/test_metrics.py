"""The GPUs' figures in base units, and nothing that a GPU does not tell."""

from prometheus_client import CollectorRegistry, generate_latest

from adapters.engine.client import EngineClient
from adapters.engine.watch import EngineWatch
from adapters.gpu.meter import EngineMeter
from adapters.gpu.metrics import GpuMetrics
from adapters.gpu.nvml import Nvml
from adapters.gpu.sampler import Sampler
from adapters.settings import EngineSettings, GpuSettings
from tests.fakes.nvml import FakeGpu, FakeNvml


async def samples(*gpus: FakeGpu, broken: int | None = None) -> dict[str, float]:
    """What the page says after one look."""
    nvml = FakeNvml(*gpus)
    nvml.broken = broken
    engine = EngineSettings.model_validate({"engine_url": "http://127.0.0.1:1"})
    client = EngineClient(engine)
    sampler = Sampler(
        Nvml(nvml), EngineMeter([client], EngineWatch(client, engine)), GpuSettings.model_validate({})
    )
    figures = GpuMetrics(sampler)
    await figures.look()
    registry = CollectorRegistry(auto_describe=True)
    registry.register(figures)
    await sampler.close()
    lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


async def test_each_gpu_tells_its_figures_in_base_units() -> None:
    first = FakeGpu(load=37, used_mib=100, total_mib=1000, temperature=41, power_milliwatts=118_500)
    second = FakeGpu(untold={"temperature", "power", "utilization", "memory", "memory_v2"})
    assert await samples(first, second) == {
        "zephyr_gpus": 2,
        'zephyr_gpu_load_ratio{gpu="0"}': 0.37,
        'zephyr_gpu_memory_used_bytes{gpu="0"}': 100 * 2**20,
        'zephyr_gpu_memory_total_bytes{gpu="0"}': 1000 * 2**20,
        'zephyr_gpu_temperature_celsius{gpu="0"}': 41,
        'zephyr_gpu_power_watts{gpu="0"}': 118.5,
    }


async def test_a_machine_without_a_driver_has_no_gpus() -> None:
    assert await samples(broken=12) == {"zephyr_gpus": 0}
