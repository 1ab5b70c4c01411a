"""The gateway against a null engine, side by side in one run with other relays (docs/performance.md).

    python -m benchmarks.gateway [--rounds 5] [--only ours nginx ...] [--quick] [--json figures.json]

The relay runs on one core; engine, clients and PostgreSQL on another. Every round starts each relay anew, in an order
that alternates. The gateway runs as it ships, logging to a real PostgreSQL, and must have logged what clients got.
"""

import argparse
import asyncio
import json
import os
import resource
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from benchmarks import report
from benchmarks.compiled import NoCompiler, compiled
from benchmarks.database import embedded_database
from benchmarks.measures import Cores, Figures, Measurement, Plan, Target, wait_for_answer
from benchmarks.peers import RELAYS, NotInstalled, Place
from benchmarks.processes import Process, free_port, stop_in_order

_ROOT = Path(__file__).parents[1]
_OPEN_FILES = 8192
_QUICK = Plan(latency=0.5, load=1.0, held=100, held_seconds=1.0)


class Bench:
    """Everything that stands still while relays come and go: engine, database, compiled programs."""

    def __init__(self, plan: Plan, stack: ExitStack) -> None:
        self._plan = plan
        self._cores = _cores()
        os.sched_setaffinity(0, {self._cores.rest})  # what is started from here on stays off the relay's core
        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        self._load = compiled("load", self._folder)
        self._engine_port = free_port()
        engine_command = (compiled("null_engine", self._folder), str(self._engine_port))
        engine = Process(engine_command, core=self._cores.rest, log=self._folder / "engine.log")
        self._engine = stack.enter_context(engine)
        self._database = stack.enter_context(embedded_database(self._folder, self._cores.rest))

    def measure(self, name: str) -> Figures:
        """Start one relay, measure it and stop it.

        Raises:
            NotInstalled: it is not here.
            RuntimeError: it did not answer, or the gateway's log misses what a client got.
        """
        if name == "direct":
            return self._measurement(Target(port=self._engine_port, api_key="none", process=None)).all()
        place = Place(
            port=free_port(),
            engine_port=self._engine_port,
            folder=self._folder,
            database_url=self._database.url,
        )
        launch = RELAYS[name](place)
        logged = self._logged()
        log = self._folder / f"{name}.log"
        began = time.monotonic()
        with Process(
            launch.command, core=self._cores.relay, log=log, environment=launch.environment
        ) as process:
            target = Target(port=place.port, api_key=launch.api_key, process=process)
            wait_for_answer(target)
            start_seconds = time.monotonic() - began
            figures = self._measurement(target).all()
            figures.start_seconds = start_seconds
        if name == "ours":
            check_log(got=figures.answers + 1, logged=self._logged() - logged)
        return figures

    def _measurement(self, target: Target) -> Measurement:
        return Measurement(
            target,
            load=self._load,
            cores=self._cores,
            plan=self._plan,
            folder=self._folder,
            database_pid=self._database.process.pid,
            engine_pid=self._engine.pid,
        )

    def _logged(self) -> int:
        return asyncio.run(_count_completed(self._database.url))


def run(names: Sequence[str], rounds: int, plan: Plan) -> dict[str, list[Figures]]:
    """Measure every relay that is installed, in each round in the other order.

    Raises:
        NoCompiler: the engine cannot be compiled.
    """
    figures: dict[str, list[Figures]] = {}
    with ExitStack() as stack:
        bench = Bench(plan, stack)
        for number in range(rounds):
            for name in names if number % 2 == 0 else reversed(names):
                try:
                    measured = bench.measure(name)
                except NotInstalled as reason:
                    print(f"{name} is left out: {reason}", flush=True)
                    continue
                print(f"round {number + 1} of {rounds}: {report.line(name, measured)}", flush=True)
                figures.setdefault(name, []).append(measured)
    return figures


def check_log(*, got: int, logged: int) -> None:
    """See that the log holds every whole answer that clients got, once.

    Raises:
        RuntimeError: it does not.
    """
    if got != logged:
        raise RuntimeError(f"clients got {got} whole answers, and {logged} are in the log")


def main() -> None:
    """The command."""
    arguments = _arguments()
    stop_in_order()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(_OPEN_FILES, hard)), hard))
    names = ["direct", *RELAYS]
    if arguments.only or arguments.quick:
        names = ["direct", *(arguments.only or ["ours"])]
    try:
        figures = run(
            names, 1 if arguments.quick else arguments.rounds, _QUICK if arguments.quick else Plan()
        )
    except NoCompiler as reason:
        raise SystemExit(str(reason)) from None
    print(report.tables(figures))
    if arguments.json:
        rounds = {name: [asdict(one) for one in measured] for name, measured in figures.items()}
        arguments.json.write_text(json.dumps(rounds, indent=1))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each relay is measured (5)")
    parser.add_argument(
        "--only", nargs="+", choices=list(RELAYS), help="measure only these, and no relay at all"
    )
    parser.add_argument(
        "--quick", action="store_true", help="one short round of ours, to see that all this works"
    )
    parser.add_argument("--json", type=Path, help="write every round's figures there")
    return parser.parse_args()


def _cores() -> Cores:
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise SystemExit("Two cores are needed: one for the relay, one for everything else.")
    return Cores(relay=usable[0], rest=usable[1])


async def _count_completed(url: str) -> int:
    connection = await asyncpg.connect(urlsplit(url).geturl())
    try:
        count = await connection.fetchval("SELECT count(*) FROM exchanges WHERE outcome = 'completed'")
    finally:
        await connection.close()
    return int(count)


if __name__ == "__main__":
    main()
