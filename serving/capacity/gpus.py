"""What GPUs have, by their data sheets."""

from dataclasses import dataclass

from serving.errors import CannotPlan


@dataclass(frozen=True, kw_only=True)
class DataSheet:
    """One kind of GPU. Bandwidth in bytes a second, speed in floating point operations a second, dense bfloat16."""

    name: str
    memory_mib: int
    bandwidth: float
    flops: float


# memory_mib is what the driver reports (NVML), which is less than the sheet's GB where error correction takes a part:
# https://thundergolfer.com/blog/nvidia-gpu-memory-capacity lists it for all but the last, which is as nvidia-smi shows
# it. Bandwidth and tensor speed are NVIDIA's; where a sheet has the speed with sparsity alone, it is half of that.
SHEETS = (
    # NVIDIA L4 data sheet: 300 GB/s, 242 TFLOPS with sparsity
    DataSheet(name="L4", memory_mib=23_034, bandwidth=300e9, flops=121e12),
    # NVIDIA A10 data sheet: 600 GB/s, 125 TFLOPS (250 with sparsity)
    DataSheet(name="A10", memory_mib=23_028, bandwidth=600e9, flops=125e12),
    # NVIDIA L40S data sheet: 864 GB/s, 362.05 TFLOPS (733 with sparsity)
    DataSheet(name="L40S", memory_mib=46_068, bandwidth=864e9, flops=362.05e12),
    # NVIDIA A100 data sheet: 1,555 GB/s (40 GB), 2,039 GB/s (80 GB SXM), 312 TFLOPS (624 with sparsity)
    DataSheet(name="A100-40", memory_mib=40_960, bandwidth=1_555e9, flops=312e12),
    DataSheet(name="A100-80", memory_mib=81_920, bandwidth=2_039e9, flops=312e12),
    # NVIDIA H100 data sheet, SXM: 3.35 TB/s, 1,979 TFLOPS with sparsity
    DataSheet(name="H100", memory_mib=81_559, bandwidth=3.35e12, flops=989.5e12),
    # NVIDIA H200 data sheet, SXM: 4.8 TB/s, 1,979 TFLOPS with sparsity
    DataSheet(name="H200", memory_mib=143_771, bandwidth=4.8e12, flops=989.5e12),
    # NVIDIA Ada architecture whitepaper: 1,008 GB/s, 165.2 TFLOPS with float32 sums (330.4 with sparsity)
    DataSheet(name="RTX-4090", memory_mib=24_564, bandwidth=1_008e9, flops=165.2e12),
)


def sheet_of(name: str) -> DataSheet:
    """The data sheet of a GPU by its name, as one writes it: `l40s`, `A100-80GB`, `NVIDIA RTX 4090`.

    Raises:
        CannotPlan: there is none of that name here.
    """
    for sheet in SHEETS:
        if _plain(sheet.name) == _plain(name):
            return sheet
    known = ", ".join(sheet.name for sheet in SHEETS)
    raise CannotPlan(
        f"--gpu: no data sheet of {name!r} here; known are {known}. Or give --gpu-memory in GiB."
    )


def one_gpu(name: str | None, memory_gib: float | None) -> DataSheet | float:
    """The GPU that was asked for: its data sheet, or its memory.

    Raises:
        CannotPlan: neither, both, or a name that is not known.
    """
    if name is not None and memory_gib is None:
        return sheet_of(name)
    if memory_gib is not None and name is None:
        return memory_gib
    raise CannotPlan("--gpu, --gpu-memory: give one of them")


def _plain(name: str) -> str:
    letters = "".join(char for char in name.upper() if char.isalnum())
    return letters.removeprefix("NVIDIA").removesuffix("GB")
