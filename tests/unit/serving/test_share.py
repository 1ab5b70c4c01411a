"""One engine's part of a machine on which several run."""

from dataclasses import replace

import pytest

from serving.engine.hardware import Gpu, Hardware
from serving.engine.profile import GIB, Places
from serving.engine.share import Share
from serving.errors import CannotRun

CPU = Hardware(cores=8, core_ids=tuple(range(8)), memory_bytes=64 * GIB, memory_free_bytes=60 * GIB)
GPU = Gpu(name="NVIDIA H100", memory_mib=81559, compute_capability=(9, 0))


def shares(of: int) -> list[Share]:
    return [Share(number=number, of=of) for number in range(of)]


def bound(machine: Hardware, of: int) -> list[str]:
    """The cores that each engine's threads are bound to."""
    return [share.environment(share.part(machine))["VLLM_CPU_OMP_THREADS_BIND"] for share in shares(of)]


def test_a_single_engine_has_the_whole_machine_and_is_told_nothing() -> None:
    """As ever."""
    alone = Share()
    assert alone.name == "engine"
    assert alone.part(CPU) == CPU
    assert alone.environment(CPU) == {}


@pytest.mark.parametrize(
    ("cores", "of", "wanted"),
    [
        (8, 2, ["0,1,2", "4,5,6"]),
        (2, 2, ["0", "1"]),
        (5, 2, ["0", "2"]),
        (2, 3, ["0", "1", "0"]),
        (1, 2, ["0", "0"]),
    ],
)
def test_engines_on_a_processor_compute_on_different_cores(cores: int, of: int, wanted: list[str]) -> None:
    """And leave one of several to the scheduler; where there are too few, they share."""
    assert bound(replace(CPU, cores=cores, core_ids=tuple(range(cores))), of) == wanted


def test_cores_are_those_that_the_process_may_use() -> None:
    """A container may have others than the first."""
    assert bound(replace(CPU, core_ids=(4, 5, 12, 13)), 2) == ["4", "12"]


def test_memory_is_shared_equally_and_is_no_more_than_there_is() -> None:
    """A quarter of what is free would be too much for each of four that start together."""
    assert Share(number=0, of=2).part(CPU).memory_free_bytes == 32 * GIB
    assert Share(number=0, of=2).part(replace(CPU, memory_free_bytes=9 * GIB)).memory_free_bytes == 9 * GIB


def test_each_engine_has_a_gpu() -> None:
    """Of those that the operator lets us see, where he says which."""
    machine = replace(CPU, gpus=(GPU, replace(GPU, name="another")))
    first, second = shares(2)
    assert second.part(machine).gpus == (machine.gpus[1],)
    assert second.environment(second.part(machine)) == {"CUDA_VISIBLE_DEVICES": "1"}
    assert first.environment(first.part(machine), "GPU-a,GPU-b") == {"CUDA_VISIBLE_DEVICES": "GPU-a"}


def test_more_engines_than_gpus_are_refused() -> None:
    """By the name of the setting, or of the variable that hides the others."""
    machine = replace(CPU, gpus=(GPU, GPU))
    with pytest.raises(CannotRun, match=r"3 engines need a GPU each.*ZEPHYR_REPLICAS"):
        Share(number=0, of=3).part(machine)
    share = Share(number=1, of=2)
    with pytest.raises(CannotRun, match="CUDA_VISIBLE_DEVICES names 1 GPUs for 2 engines"):
        share.environment(share.part(machine), "3")


def test_the_gateway_has_the_places_of_all() -> None:
    """It shares them out."""
    assert Places(usual=16, spare=2).times(3) == Places(usual=48, spare=6)
