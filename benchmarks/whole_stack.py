"""The whole stack, with a real vLLM, against the way that it replaces: tokens a second for 1, 8 and 32 clients.

    python -m benchmarks.whole_stack [--rounds 3] [--json figures.json]

Runs `zephyr up` with the model for machines without a GPU, then `benchmarks/original.py` with the same weights, one
after the other. Needs both environments, and a machine with nothing else to do.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from benchmarks.processes import Process, free_port, stop_in_order
from benchmarks.report import table
from serving.engine import models, prepare
from serving.readiness import ask, is_well
from serving.settings import Settings
from serving.supervisor import Supervisor

_ROOT = Path(__file__).parents[1]
_CLIENTS = (1, 8, 32)
_TOKENS = 64
_START_SECONDS = 900
_ANSWER_SECONDS = 900
_STACK, _ORIGINAL = "zephyr up", "the original's way"

Rates = dict[int, list[float]]
"""Tokens a second, in each round, by the number of clients."""


def compare(rounds: int, home: Path) -> dict[str, Rates]:
    """Measure both ways, one after the other."""
    settings = Settings(home=home)  # type: ignore[call-arg]  # the rest has defaults
    port = free_port()
    stack = Process(
        [sys.executable, "-m", "zephyr", "up"],
        log=home / "stack.log",
        environment={
            "PYTHONPATH": str(_ROOT),
            "ZEPHYR_HOME": str(home),
            "ZEPHYR_PORT": str(port),
            "ZEPHYR_ADMIN_PORT": "0",
        },
    )
    with stack:
        ours = measure(stack, port, rounds)
    folder = asyncio.run(_prepared(settings))
    original = Process(
        [settings.engine_python, _ROOT / "benchmarks" / "original.py", folder, str(port)],
        log=home / "original.log",
    )
    with original:
        return {_STACK: ours, _ORIGINAL: measure(original, port, rounds)}


def measure(process: Process, port: int, rounds: int) -> Rates:
    """Tokens a second of a server that is starting, once it has started and answered.

    Raises:
        RuntimeError: it ended, or did not start in time.
    """
    url = f"http://127.0.0.1:{port}"
    limit = time.monotonic() + _START_SECONDS
    while not is_well(url, "/readyz"):
        if process.ended or time.monotonic() > limit:
            raise RuntimeError(f"it did not start:\n{process.last_words}")
        time.sleep(0.2)
    _tokens_a_second(url, 1)  # the first one warms up
    return {clients: [_tokens_a_second(url, clients) for _ in range(rounds)] for clients in _CLIENTS}


def _tokens_a_second(url: str, clients: int) -> float:
    began = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        tokens = sum(pool.map(lambda number: _tokens_of_a_story(url, number), range(clients)))
    return tokens / (time.monotonic() - began)


def _tokens_of_a_story(url: str, number: int) -> int:
    question = f"Write a long story about a lighthouse keeper and ship number {number}."
    body = {"messages": [{"role": "user", "content": question}], "max_tokens": _TOKENS, "temperature": 0}
    answer = ask(url, "/v1/chat/completions", body, timeout=_ANSWER_SECONDS)
    if answer.status != 200:
        raise RuntimeError(f"answered with {answer.status}")
    return int(answer.json()["usage"]["completion_tokens"])


async def _prepared(settings: Settings) -> Path:
    """The folder of the weights that vLLM served."""
    async with Supervisor(settings, _say_nothing) as supervisor:
        return await prepare.prepare(models.SMOLLM2, settings, supervisor.run_once, _say_nothing)


def _say_nothing(*_: object) -> None:
    """There is nobody to show progress to."""


def tables(rates: Mapping[str, Rates]) -> str:
    """Medians and ratios, in Markdown."""
    head = ["tokens a second", *(f"{clients} clients" if clients > 1 else "1 client" for clients in _CLIENTS)]
    rows = [[name, *(f"{median(of[clients]):.1f}" for clients in _CLIENTS)] for name, of in rates.items()]
    return table(head, [*rows, ["ratio", *_ratios(rates[_STACK], rates[_ORIGINAL])]])


def _ratios(ours: Rates, original: Rates) -> Sequence[str]:
    return [f"{median(ours[clients]) / median(original[clients]):.1f}x" for clients in _CLIENTS]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each number of clients is measured")
    parser.add_argument("--json", type=Path, help="write every round's figures there")
    arguments = parser.parse_args()
    stop_in_order()
    print(f"load before the start: {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory(prefix="zephyr-") as home:
        rates = compare(arguments.rounds, Path(home))
    print(tables(rates))
    if arguments.json:
        arguments.json.write_text(json.dumps(rates, indent=1))


if __name__ == "__main__":
    main()
