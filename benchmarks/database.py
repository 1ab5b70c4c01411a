"""A PostgreSQL of a benchmark's own: the embedded one, migrated."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import Process

_ROOT = Path(__file__).parents[1]
_START_SECONDS = 60
_URL = re.compile(r"^DATABASE_URL=(?P<url>\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Database:
    """A running server."""

    process: Process
    url: str


@contextmanager
def embedded_database(folder: Path, core: int | None = None) -> Iterator[Database]:
    """The server, with everything that it keeps in this folder.

    Raises:
        RuntimeError: it did not start.
    """
    process = Process(
        [sys.executable, "-m", "zephyr", "db"],
        core=core,
        log=folder / "database.log",
        environment={"PYTHONPATH": str(_ROOT), "ZEPHYR_HOME": str(folder)},
    )
    with process:
        url = _announced_url(process)
        environment = {"PATH": os.environ["PATH"], "DATABASE_URL": url}
        subprocess.run([sys.executable, "-m", "adapters", "migrate"], cwd=_ROOT, env=environment, check=True)
        yield Database(process, url)


def _announced_url(process: Process) -> str:
    limit = time.monotonic() + _START_SECONDS
    while not (said := _URL.search(process.last_words)):
        if process.ended or time.monotonic() > limit:
            raise RuntimeError(f"there is no database:\n{process.last_words}")
        time.sleep(0.05)
    return said["url"]
