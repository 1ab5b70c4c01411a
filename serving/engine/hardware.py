"""What this machine has, as plain facts: GPUs, processor, memory."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pynvml

INTERESTING_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
TCMALLOC = "libtcmalloc_minimal.so.4"
LIBRARY_FOLDERS = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/local/lib")


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One NVIDIA GPU."""

    name: str
    memory_mib: int
    compute_capability: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """One machine. Memory in bytes; `cores` are those that this process may use."""

    gpus: tuple[Gpu, ...] = ()
    driver: str | None = None
    gpu_problem: str | None = None
    cpu: str = ""
    flags: frozenset[str] = field(default_factory=frozenset)
    cores: int = 1
    core_ids: tuple[int, ...] = ()
    """Their numbers, where the system tells them; a quota may allow less than all of them at once."""
    memory_bytes: int = 0
    memory_free_bytes: int = 0
    tcmalloc: Path | None = None


def look() -> Hardware:
    """Look at this machine, within the limits of the container it may be."""
    gpus, driver, problem = look_at_gpus()
    name, flags = look_at_processor(Path("/proc/cpuinfo"))
    memory = psutil.virtual_memory()
    limit = container_limit("memory.max") or memory.total
    return Hardware(
        gpus=gpus,
        driver=driver,
        gpu_problem=problem,
        cpu=name,
        flags=flags,
        cores=usable_cores(),
        core_ids=core_ids(),
        memory_bytes=min(memory.total, limit),
        memory_free_bytes=min(memory.available, limit),
        tcmalloc=find_tcmalloc(),
    )


def look_at_gpus() -> tuple[tuple[Gpu, ...], str | None, str | None]:
    """The GPUs, the driver's version, and why there are none if so."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return (), None, str(error)
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return (
            tuple(look_at_gpu(handle) for handle in handles),
            str(pynvml.nvmlSystemGetDriverVersion()),
            None,
        )
    except pynvml.NVMLError as error:
        return (), None, str(error)
    finally:
        pynvml.nvmlShutdown()


def look_at_gpu(handle: object) -> Gpu:
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    return Gpu(
        name=str(pynvml.nvmlDeviceGetName(handle)),
        memory_mib=pynvml.nvmlDeviceGetMemoryInfo(handle).total // 2**20,
        compute_capability=(major, minor),
    )


def look_at_processor(cpuinfo: Path) -> tuple[str, frozenset[str]]:
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^flags\s*:\s*(.+)$", text, re.MULTILINE)
    found = flags[1].split() if flags else []
    return name[1].strip() if name else "", frozenset(found) & frozenset(INTERESTING_FLAGS)


def usable_cores() -> int:
    """Cores that this process may run on, less where a container's quota is lower."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = Path("/sys/fs/cgroup/cpu.max")
    if quota.exists():
        most, period = quota.read_text().split()
        if most != "max":
            cores = min(cores, max(1, int(most) // int(period)))
    return cores


def core_ids() -> tuple[int, ...]:
    """The numbers of the cores that this process may run on."""
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()


def container_limit(name: str) -> int | None:
    file = Path("/sys/fs/cgroup") / name
    text = file.read_text().strip() if file.exists() else "max"
    return None if text == "max" else int(text)


def find_tcmalloc() -> Path | None:
    candidates = (Path(folder) / TCMALLOC for folder in LIBRARY_FOLDERS)
    return next((library for library in candidates if library.exists()), None)
