"""What it takes to see something: `.venv/bin/python -m tests.seeing …` (docs/operations.md).

`cause all` brings each alert about, with a real Prometheus, in some ten minutes; `panels` asks what the dashboard asks;
`engine` starts the real vLLM, fills its cache and freezes its core (minutes); `router` stops an engine behind vllm-router;
`names` makes of a page of figures the lines that are kept beside the tests.
"""

import argparse
import sys

from tests.seeing import pages, real, replicas, trying
from tests.seeing.causes import TRIALS


def main() -> int:
    """Do what was asked for, and print what came of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["cause", "panels", "engine", "router", "names"])
    parser.add_argument("alert", nargs="*", help="or all", metavar="ALERT")
    given = parser.parse_args()
    if given.what == "names":
        print(*pages.names(pages.figures(sys.stdin.read())), sep="\n")
    elif given.what == "panels":
        print(trying.ask_all_panels())
    elif given.what == "engine":
        print(real.measure())
    elif given.what == "router":
        print(replicas.measure())
    else:
        failed = 0
        for trial in TRIALS:
            if trial.alert in given.alert or "all" in given.alert:
                try:
                    print(trying.cause(trial), flush=True)
                except (TimeoutError, AssertionError) as error:
                    failed += 1
                    print(f"{trial.alert}: {error}", flush=True)
        return failed
    return 0


if __name__ == "__main__":
    sys.exit(main())
