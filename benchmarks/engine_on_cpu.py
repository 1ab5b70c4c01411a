"""How to run vLLM on a processor: the same model and questions with other threads, libraries, precisions and compilers.

    .venv/bin/python -m benchmarks.engine_on_cpu                 all variants, one engine after the other
    .venv/bin/python -m benchmarks.engine_on_cpu one-core both-cores --rounds 5

Prints a row of Markdown for each: seconds until ready, whether a known answer is right, tokens a second at 1, 8 and 32
requests at once (the median of the rounds). Needs a machine with nothing else to do; the load before each start is printed.
"""

import argparse
import asyncio
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serving.engine import hardware, models, prepare, profile
from serving.engine.check import Check, WrongEngine, messages
from serving.process.child import Child, Command, inherited_environment
from serving.process.lifeline import Lifeline
from serving.process.logfile import LogFile
from serving.readiness import ask, until_well
from serving.settings import Settings
from serving.supervisor import Supervisor

AT_ONCE = (1, 8, 32)
TOKENS = 96
STORY = "Write a long story about a lighthouse keeper and the sea."
ASK_SECONDS = 600.0
PASSIVE = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
BOTH = {"VLLM_CPU_NUM_OF_RESERVED_CPU": "0"}


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What differs from one core, float32 and no compiler."""

    environment: dict[str, str] = field(default_factory=dict)
    dtype: str = "float32"
    compiled: bool = False
    preload: str | None = None  # a library's file name, looked for in `--libraries`


VARIANTS = {
    "one-core": Variant(),
    "both-cores": Variant(environment=BOTH),
    "both-cores-passive": Variant(environment=BOTH | PASSIVE),
    "unbound": Variant(environment={"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "2"}),
    "unbound-passive": Variant(
        environment={"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "2"} | PASSIVE
    ),
    "one-core-tcmalloc": Variant(preload="libtcmalloc_minimal.so.4"),
    "one-core-iomp": Variant(preload="libiomp5.so"),
    "compiled": Variant(compiled=True),
    "compiled-again": Variant(compiled=True),
    "both-cores-passive-compiled": Variant(environment=BOTH | PASSIVE, compiled=True),
    "bfloat16": Variant(dtype="bfloat16"),
    "bfloat16-compiled": Variant(dtype="bfloat16", compiled=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("variants", nargs="*", metavar="variant", help=f"of {', '.join(VARIANTS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--libraries", type=Path, default=Path("/usr/lib/x86_64-linux-gnu"))
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="zephyr-"))
    try:
        asyncio.run(measure_all(options.variants or list(VARIANTS), home, options.rounds, options.libraries))
    finally:
        shutil.rmtree(home)


async def measure_all(names: list[str], home: Path, rounds: int, libraries: Path) -> None:
    settings = Settings(home=home)  # type: ignore[call-arg]  # the rest has defaults
    settings.run.mkdir()
    async with Supervisor(settings, lambda *_: None) as supervisor:
        folder = await prepare.prepare(models.SMOLLM2, settings, supervisor.run_once, lambda *_: None)
    machine = hardware.look()
    print(f"{machine.cpu}, {machine.cores} cores, {', '.join(sorted(machine.flags))}\n")
    print(
        "| variant | load before | ready after (s) | right | tokens/s at 1 | at 8 | at 32 |\n|" + "---|" * 7
    )
    for name in names:
        command = command_of(VARIANTS[name], settings, machine, folder, libraries)
        print(
            f"| {name} | {os.getloadavg()[0]:.1f} | {await measure(command, settings, rounds)} |", flush=True
        )


def command_of(
    variant: Variant, settings: Settings, machine: hardware.Hardware, folder: Path, libraries: Path
) -> Command:
    base = profile.plan(machine, settings, models.SMOLLM2, folder)
    arguments = [argument for argument in base.arguments if argument != "--enforce-eager"]
    arguments += ["--dtype", variant.dtype, "--uds", str(settings.run / "engine.sock")]
    if not variant.compiled:
        arguments.append("--enforce-eager")
    tuned = ("VLLM_CPU", "OMP_", "GOMP_", "KMP_", "LD_PRELOAD")
    plain = {name: value for name, value in base.environment.items() if not name.startswith(tuned)}
    if variant.preload is not None:
        plain["LD_PRELOAD"] = str(next(libraries.rglob(variant.preload)))
    return Command(
        argv=[str(settings.engine_python), *profile.ENTRY, *arguments],
        environment=inherited_environment() | plain | variant.environment,
    )


async def measure(command: Command, settings: Settings, rounds: int) -> str:
    socket = settings.run / "engine.sock"
    socket.unlink(missing_ok=True)
    lifeline, began = Lifeline(), time.monotonic()
    child = await Child.start(command, log=LogFile(settings.logs / "engine.log", 2**24), lifeline=lifeline)
    try:
        ready = asyncio.create_task(until_well(f"unix:{socket}", "/health", every=0.2))
        ended = asyncio.create_task(child.ended())
        await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            return "did not start: " + child.last_lines[-1]
        seconds = time.monotonic() - began
        return f"{seconds:.0f} | " + await asyncio.to_thread(rates, f"unix:{socket}", rounds)
    finally:
        await child.stop(settings.stop_seconds)
        lifeline.close()


def rates(url: str, rounds: int) -> str:
    right = is_right(url)
    speeds = [statistics.median(tokens_a_second(url, n) for _ in range(rounds)) for n in AT_ONCE]
    return f"{right} | " + " | ".join(f"{speed:.0f}" for speed in speeds)


def is_right(url: str) -> str:
    try:
        Check(url, models.SMOLLM2, ASK_SECONDS).run()
    except WrongEngine as error:
        return f"no: {error}"
    return "yes"


def tokens_a_second(url: str, at_once: int) -> float:
    def tell(number: int) -> int:
        body: dict[str, Any] = {"messages": messages(f"{STORY} Number {number}."), "max_tokens": TOKENS}
        body |= {"model": models.SMOLLM2.name, "ignore_eos": True, "temperature": 1.0}
        count: int = ask(url, "/v1/chat/completions", body, timeout=ASK_SECONDS).json()["usage"][
            "completion_tokens"
        ]
        return count

    return timed(lambda: sum_at_once(tell, at_once))


def sum_at_once(tell: Callable[[int], int], at_once: int) -> int:
    with ThreadPoolExecutor(at_once) as pool:
        return sum(pool.map(tell, range(at_once)))


def timed(work: Callable[[], int]) -> float:
    began = time.monotonic()
    return work() / (time.monotonic() - began)


if __name__ == "__main__":
    main()
