"""The long run: `.venv/bin/python -m tests.chaos --kills 200 --acknowledged 10000` (docs/reliability.md)."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.chaos.run import Plan, Report, unleash


def describe(report: Report) -> str:
    """The report as the document shows it."""
    verdict = report.verdict
    acts = ", ".join(f"{name} {times} times" for name, times in sorted(report.acts.items()))
    statuses = ", ".join(f"{status or 'cut off'}: {times}" for status, times in report.statuses.most_common())
    return "\n".join(
        [
            f"{report.seconds:.0f} s; {acts}",
            f"asked {report.asked} ({statuses}), acknowledged {verdict.acknowledged}",
            f"lost {len(verdict.lost)}, twice {len(verdict.twice)}, changed {len(verdict.changed)}, "
            f"invented {len(verdict.invented)}",
            f"longest wait for an answer that was acknowledged {report.longest_answer:.1f} s, "
            f"longest time to a gateway that answers again {report.longest_restart:.1f} s",
        ]
    )


def main() -> int:
    """Run, print, and fail if the promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--acknowledged", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="zephyr-") as folder:
        report = asyncio.run(unleash(Plan(**vars(arguments)), Path(folder)))
    print(describe(report))
    return 0 if report.verdict.holds else 1


if __name__ == "__main__":
    sys.exit(main())
