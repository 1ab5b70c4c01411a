"""The GPUs of this machine, for Prometheus; none where there is none, or where the driver does not answer."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from adapters.gpu.nvml import Gpu, GpuReading
from adapters.gpu.sampler import Sampler

_MIB = 2**20


class GpuMetrics(Collector):
    """What the driver says. `look` asks it, `collect` tells what it said."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self._reading = GpuReading()

    async def look(self) -> None:
        """Ask the driver, for no longer than two seconds."""
        self._reading = await self._sampler.read_gpus()

    def collect(self) -> Iterator[Metric]:
        """The figures as of the last look."""
        gpus = self._reading.gpus
        yield GaugeMetricFamily(
            "zephyr_gpus", "NVIDIA GPUs that can be read on this machine.", value=len(gpus)
        )
        for name, meaning, value_of in _FIGURES:
            family = GaugeMetricFamily(f"zephyr_gpu_{name}", meaning, labels=["gpu"])
            for gpu in gpus:
                if (value := value_of(gpu)) is not None:
                    family.add_metric([str(gpu.index)], value)
            yield family


def _load(gpu: Gpu) -> float | None:
    return None if gpu.load_percent is None else gpu.load_percent / 100


def _bytes(mib: int | None) -> int | None:
    return None if mib is None else mib * _MIB


_FIGURES = (
    ("load_ratio", "Share of the time in which it worked, 0 to 1.", _load),
    ("memory_used_bytes", "Memory of the GPU that is in use.", lambda gpu: _bytes(gpu.memory_used_mib)),
    ("memory_total_bytes", "Memory of the GPU in all.", lambda gpu: _bytes(gpu.memory_total_mib)),
    ("temperature_celsius", "Temperature of the GPU itself.", lambda gpu: gpu.temperature_celsius),
    ("power_watts", "Power that it takes.", lambda gpu: gpu.power_watts),
)
