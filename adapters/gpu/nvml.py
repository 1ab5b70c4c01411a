"""What NVIDIA's driver says about the GPUs. The only module that knows NVML's binding."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pynvml

_MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU at one moment. None stands for what this GPU, or its driver, does not tell."""

    index: int
    name: str
    driver_version: str
    load_percent: float | None
    memory_used_mib: int | None
    memory_free_mib: int | None
    memory_total_mib: int | None
    temperature_celsius: int | None
    power_watts: float | None


@dataclass(frozen=True, kw_only=True)
class GpuReading:
    """All GPUs at one moment, or why there are none."""

    gpus: tuple[Gpu, ...] = ()
    problem: str | None = None


class Nvml:
    """Reads the GPUs. Its methods block for as long as the driver takes."""

    def __init__(self, binding: ModuleType = pynvml) -> None:
        self._nvml: Any = binding
        self._open = False

    def read(self) -> GpuReading:
        """The GPUs now. A machine without a driver gives an empty reading that says so."""
        try:
            if not self._open:
                self._nvml.nvmlInit()
                self._open = True
            gpus = tuple(self._gpu(index) for index in range(self._nvml.nvmlDeviceGetCount()))
        except self._nvml.NVMLError as error:
            self.close()  # the next reading begins anew: a driver may come, or come back
            return GpuReading(problem=f"No NVIDIA GPU can be read: {error}.")
        return GpuReading(gpus=gpus, problem=None if gpus else "There is no NVIDIA GPU.")

    def close(self) -> None:
        """Give the driver back."""
        if self._open:
            self._open = False
            self._told(self._nvml.nvmlShutdown)

    def _gpu(self, index: int) -> Gpu:
        nvml = self._nvml
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        use = self._told(nvml.nvmlDeviceGetUtilizationRates, handle)
        # The second version does not count what the driver keeps for itself as used, as nvidia-smi does not.
        memory = self._told(nvml.nvmlDeviceGetMemoryInfo, handle, nvml.nvmlMemory_v2) or self._told(
            nvml.nvmlDeviceGetMemoryInfo, handle
        )
        power_milliwatts = self._told(nvml.nvmlDeviceGetPowerUsage, handle)
        return Gpu(
            index=index,
            name=nvml.nvmlDeviceGetName(handle),
            driver_version=nvml.nvmlSystemGetDriverVersion(),
            load_percent=float(use.gpu) if use else None,
            memory_used_mib=memory.used // _MIB if memory else None,
            memory_free_mib=memory.free // _MIB if memory else None,
            memory_total_mib=memory.total // _MIB if memory else None,
            temperature_celsius=self._told(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU),
            power_watts=power_milliwatts / 1000 if power_milliwatts is not None else None,
        )

    def _told(self, ask: Callable[..., Any], *arguments: object) -> Any:
        """The answer to one question, or None where this GPU has none."""
        try:
            return ask(*arguments)
        except self._nvml.NVMLError:
            return None
