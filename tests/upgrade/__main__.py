"""The long run: `.venv/bin/python -m tests.upgrade --gateways 2 --seconds 20` (docs/upgrades.md)."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.databases import PostgresServer
from tests.upgrade.run import Plan, Report, roll


def describe(report: Report) -> str:
    """The report as the document shows it."""
    verdict = report.verdict
    steps = ", ".join(f"{step} {count}" for step, count in report.acknowledged.items())
    statuses = ", ".join(
        f"{status or 'no answer'}: {times}" for status, times in report.statuses.most_common()
    )
    return "\n".join(
        [
            f"from {report.commit[:7]}, schema {report.revisions[0]} to {report.revisions[1]} "
            f"in {report.migration_seconds:.1f} s under load",
            f"acknowledged {verdict.acknowledged}: {steps}",
            f"answers: {statuses}",
            f"lost {len(verdict.lost)}, twice {len(verdict.twice)}, changed {len(verdict.changed)}, "
            f"invented {len(verdict.invented)}",
        ]
    )


def main() -> int:
    """Run, print, and fail if the promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateways", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--commit", default=None)
    arguments = parser.parse_args()
    server = PostgresServer()
    try:
        with tempfile.TemporaryDirectory(prefix="zephyr-") as folder:
            report = asyncio.run(roll(Plan(**vars(arguments)), server.url, Path(folder)))
    finally:
        server.close()
    print(describe(report))
    return 0 if report.verdict.holds else 1


if __name__ == "__main__":
    sys.exit(main())
