"""The long runs: `.venv/bin/python -m tests.overload all` (docs/reliability.md). Figures mean something on a quiet machine."""

import argparse
import sys
from collections.abc import Callable

from tests.overload import arrivals, leaving, malformed, real_engine, stalled, stopping

TRIALS: dict[str, tuple[str, Callable[[argparse.Namespace], str]]] = {
    "arrivals": (
        "four times as many requests as can be answered (R11)",
        lambda given: arrivals.measure(
            places=given.places, service=given.service, seconds=given.seconds
        ).describe(),
    ),
    "readers": (
        "clients that read a byte a second (R13), of events of one token, then of events of 2 KiB",
        lambda given: "\n".join(
            stalled.readers(given.clients, given.send_timeout, pieces).describe()
            for pieces in (stalled.TOKENS, stalled.LONG)
        ),
    ),
    "senders": (
        "clients that do not end their request (R14)",
        lambda given: stalled.senders(given.clients, given.body_timeout).describe(),
    ),
    "leaving": (
        "clients that leave at random moments (R15)",
        lambda given: leaving.measure(given.disconnects).describe(),
    ),
    "malformed": (
        "requests that nobody would write (R16); some ten minutes",
        lambda given: malformed.measure(given.examples).describe(),
    ),
    "stopping": (
        "SIGTERM while streams run (R10)",
        lambda given: stopping.measure(
            streams=given.streams, lasting=0.8 * given.grace, grace=given.grace
        ).describe(),
    ),
    "engine": (
        "the real vLLM, killed and frozen (R7, R8); minutes",
        lambda given: real_engine.measure(given.kills).describe(),
    ),
}


def main() -> int:
    """Run what was asked for, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trial", nargs="+", choices=[*TRIALS, "all"])
    parser.add_argument("--places", type=int, default=8)
    parser.add_argument("--service", type=float, default=0.2, help="seconds of the engine for an answer")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each load")
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--send-timeout", type=float, default=30.0)
    parser.add_argument("--body-timeout", type=float, default=10.0)
    parser.add_argument("--disconnects", type=int, default=10_000)
    parser.add_argument("--examples", type=int, default=300, help="of each operation")
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--grace", type=float, default=30.0)
    parser.add_argument("--kills", type=int, default=6)
    given = parser.parse_args()
    for name in TRIALS if "all" in given.trial else given.trial:
        title, run = TRIALS[name]
        print(f"{name}: {title}\n{run(given)}\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
