"""What the driver says becomes a reading; what it does not say becomes None, or a reason."""

import pynvml
import pytest

from adapters.gpu.nvml import Nvml
from tests.fakes.nvml import FakeGpu, FakeNvml


def test_a_gpu_is_read_in_percent_mebibytes_degrees_and_watts() -> None:
    reading = Nvml(FakeNvml(FakeGpu(), FakeGpu(name="NVIDIA L4", load=0))).read()
    first, second = reading.gpus
    assert reading.problem is None
    assert (first.index, first.name, first.driver_version) == (0, "NVIDIA H200", "580.65.06")
    assert (first.load_percent, first.temperature_celsius, first.power_watts) == (37.0, 41, 118.5)
    assert (first.memory_used_mib, first.memory_free_mib, first.memory_total_mib) == (14200, 66000, 81559)
    assert (second.index, second.name, second.load_percent) == (1, "NVIDIA L4", 0.0)


def test_what_a_gpu_does_not_tell_is_none_and_the_rest_is_there() -> None:
    untold = {"utilization", "memory", "memory_v2", "temperature", "power"}
    (gpu,) = Nvml(FakeNvml(FakeGpu(untold=untold))).read().gpus
    assert (gpu.load_percent, gpu.memory_used_mib, gpu.temperature_celsius, gpu.power_watts) == (None,) * 4
    assert gpu.name == "NVIDIA H200"


def test_an_old_driver_tells_its_memory_too() -> None:
    (gpu,) = Nvml(FakeNvml(FakeGpu(untold={"memory_v2"}))).read().gpus
    assert gpu.memory_used_mib == 14800


def test_a_machine_without_gpus_says_so() -> None:
    reading = Nvml(FakeNvml()).read()
    assert (reading.gpus, reading.problem) == ((), "There is no NVIDIA GPU.")


def test_a_driver_that_comes_back_is_read_again() -> None:
    fake = FakeNvml(FakeGpu())
    nvml = Nvml(fake)
    for broken in (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, None, pynvml.NVML_ERROR_GPU_IS_LOST, None):
        fake.broken = broken
        reading = nvml.read()
        assert bool(reading.gpus) == (broken is None)
        assert (reading.problem is not None) == (broken is not None)
    nvml.close()
    nvml.close()
    assert fake.opened == 0


def test_the_real_binding_gives_gpus_or_a_reason() -> None:
    """On a machine without a driver, which most test machines are, this reads the real library's absence."""
    nvml = Nvml()
    reading = nvml.read()
    nvml.close()
    assert bool(reading.gpus) != (reading.problem is not None)
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        assert reading.problem == f"No NVIDIA GPU can be read: {error}."
    else:
        pynvml.nvmlShutdown()
        if not reading.gpus:
            pytest.fail(f"there is a driver, and still: {reading.problem}")
