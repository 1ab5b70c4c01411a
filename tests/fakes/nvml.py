"""A scripted NVML: the functions of NVIDIA's binding that the gateway calls, over GPUs that a test describes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import pynvml

_MIB = 2**20


@dataclass
class FakeGpu:
    """One GPU. A function named in `untold` answers that this GPU does not support it."""

    name: str = "NVIDIA H200"
    load: int = 37
    used_mib: int = 14200
    free_mib: int = 66000
    total_mib: int = 81559
    temperature: int = 41
    power_milliwatts: int = 118_500
    untold: set[str] = field(default_factory=set)


class FakeNvml(ModuleType):
    """The binding. `broken` is the error that it raises when it is opened, if any."""

    NVMLError = pynvml.NVMLError
    NVML_TEMPERATURE_GPU = pynvml.NVML_TEMPERATURE_GPU
    nvmlMemory_v2 = pynvml.nvmlMemory_v2  # noqa: N815

    def __init__(self, *gpus: FakeGpu) -> None:
        super().__init__("pynvml")
        self.gpus = list(gpus)
        self.broken: int | None = None
        self.opened = 0
        self.before_reading: Callable[[], object] = lambda: None

    def nvmlInit(self) -> None:  # noqa: N802
        if self.broken is not None:
            raise pynvml.NVMLError(self.broken)
        self.opened += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.opened -= 1

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "580.65.06"

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        self.before_reading()
        if self.broken is not None:
            raise pynvml.NVMLError(self.broken)
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeGpu:  # noqa: N802
        return self.gpus[index]

    def nvmlDeviceGetName(self, gpu: FakeGpu) -> str:  # noqa: N802
        return gpu.name

    def nvmlDeviceGetUtilizationRates(self, gpu: FakeGpu) -> Any:  # noqa: N802
        self._check(gpu, "utilization")
        return SimpleNamespace(gpu=gpu.load, memory=5)

    def nvmlDeviceGetMemoryInfo(self, gpu: FakeGpu, version: int | None = None) -> Any:  # noqa: N802
        self._check(gpu, "memory" if version is None else "memory_v2")
        reserved = 0 if version == self.nvmlMemory_v2 else 600
        used = (gpu.used_mib + reserved) * _MIB + 123
        return SimpleNamespace(used=used, free=gpu.free_mib * _MIB, total=gpu.total_mib * _MIB)

    def nvmlDeviceGetTemperature(self, gpu: FakeGpu, sensor: int) -> int:  # noqa: N802
        self._check(gpu, "temperature")
        assert sensor == self.NVML_TEMPERATURE_GPU
        return gpu.temperature

    def nvmlDeviceGetPowerUsage(self, gpu: FakeGpu) -> int:  # noqa: N802
        self._check(gpu, "power")
        return gpu.power_milliwatts

    def _check(self, gpu: FakeGpu, function: str) -> None:
        if function in gpu.untold:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
