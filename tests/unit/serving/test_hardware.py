"""Looking at the machine."""

from pathlib import Path

from serving.engine import hardware

CPUINFO = """processor\t: 0
model name\t: AMD EPYC 9B14
flags\t\t: fpu vme avx2 avx512f avx512_bf16 rdpid

processor\t: 1
model name\t: AMD EPYC 9B14
flags\t\t: fpu vme avx2 avx512f avx512_bf16 rdpid
"""


def test_processor_is_read_from_the_kernels_own_description(tmp_path: Path) -> None:
    """Its name, and of its many flags those that decide about precision."""
    file = tmp_path / "cpuinfo"
    file.write_text(CPUINFO)
    assert hardware.look_at_processor(file) == (
        "AMD EPYC 9B14",
        frozenset({"avx2", "avx512f", "avx512_bf16"}),
    )


def test_machine_without_that_description_is_no_error(tmp_path: Path) -> None:
    """Another architecture words it otherwise."""
    assert hardware.look_at_processor(tmp_path / "none") == ("", frozenset())


def test_this_machine_has_something() -> None:
    """Facts, and for no GPU the reason."""
    machine = hardware.look()
    assert machine.cores >= 1
    assert 0 < machine.memory_free_bytes <= machine.memory_bytes
    assert bool(machine.gpus) != bool(machine.gpu_problem)
