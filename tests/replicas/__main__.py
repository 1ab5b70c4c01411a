"""Trials of several engines and several gateways (docs/replicas.md): `.venv/bin/python -m tests.replicas engines`."""

import argparse
import sys

from tests.replicas import engines, hosts


def main() -> int:
    """Run one, print what came of it, and fail if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    trials = parser.add_subparsers(dest="trial", required=True)
    real = trials.add_parser("engines", help="two real engines on this machine, which takes some ten minutes")
    real.add_argument("--conversations", type=int, default=8)
    real.add_argument("--turns", type=int, default=4)
    real.add_argument("--clients", type=int, default=8)
    several = trials.add_parser(
        "hosts", help="two gateways and two engines, each with a network of its own; as root"
    )
    several.add_argument("--clients", type=int, default=8)
    several.add_argument("--seconds", type=float, default=20.0, help="of load while a host is unplugged")
    chosen = parser.parse_args()
    if chosen.trial == "engines":
        held = engines.trial(chosen.conversations, chosen.turns, chosen.clients)
    else:
        held = hosts.trial(chosen.clients, chosen.seconds)
    print("held" if held else "NOT HELD")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
