"""Restoring a backup into a database in which nothing of ours is: all of it, or nothing, in one transaction.

`pg_restore` writes the statements, `psql` runs them between ours. COMMIT is said only when `pg_restore` has ended well, so
that whatever ends early, this process too, leaves the database as it was.
"""

import asyncio
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from tempfile import TemporaryFile
from threading import Thread
from typing import IO, Any

from adapters.backup import programs, tables
from adapters.backup.archive import Backup, Manifest
from adapters.backup.programs import ProgramFailed, Programs, Target
from adapters.conversations.partitions import make_ahead
from adapters.conversations.upkeep import opened
from adapters.database import schema
from adapters.database.migrate import ADVISORY_LOCK, migrate
from adapters.database.session import connect
from adapters.settings import LogSettings

_GRACE_SECONDS = 1.0
_REFUSE = """
    DO $$ BEGIN IF EXISTS (SELECT FROM {0}) THEN RAISE EXCEPTION 'there is something in {0}'; END IF; END $$;"""
Tell = Callable[[int], None]


class CannotRestore(Exception):
    """This backup does not go into this database; nothing was changed."""


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What a restore has brought."""

    manifest: Manifest
    rows: Mapping[str, int]
    """How many rows each table has now."""


async def restore(settings: LogSettings, backup: Backup, tell: Tell) -> Restored:
    """Bring a backup that was verified into the database, and its schema up to date.

    Raises:
        CannotRestore: it does not go there.
        NoPrograms, ProgramFailed: PostgreSQL's programs are missing, or one failed. Nothing was changed.
        CannotMigrate: all was restored, and its schema not brought up to date.
        Any of `AWAY`: the database is away.
    """
    manifest = backup.manifest
    if manifest.revision > schema.newest():
        raise CannotRestore(
            f"the backup was made by a newer version ({manifest.version}, schema {manifest.revision}): restore it with that"
        )
    connection = await connect(settings)
    try:
        server = connection.get_server_version().major
        if server < manifest.server:
            raise CannotRestore(
                f"the backup is of PostgreSQL {manifest.server}, and the server is {server}: take one that is not older"
            )
        if (await schema.look(connection)).newer:
            raise CannotRestore("the database belongs to a newer version: restore with that")
        filled = [
            f"{table} ({count} rows)" for table, count in (await tables.counted(connection)).items() if count
        ]
        if filled:
            raise CannotRestore(
                f"there is something in the database: {', '.join(filled)}. Restore into a new one: `createdb NAME`, and "
                "DATABASE_URL with that name; for the embedded PostgreSQL, a new ZEPHYR_HOME"
            )
        there = await tables.present(connection)
    finally:
        await connection.close()
    found = programs.at_least(max(server, manifest.program))
    await asyncio.to_thread(_run, found, programs.target(settings), backup, _before(there), tell)
    await migrate(settings)
    async with opened(settings) as (connection, today):
        await make_ahead(connection, today)
        return Restored(manifest=manifest, rows=await tables.counted(connection))


def _before(there: Mapping[str, str]) -> bytes:
    """Take the empty tables away, if they are empty, while nobody migrates."""
    filled = [called for name, called in there.items() if name != tables.REVISION]
    lines = ["BEGIN;", f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK}) \\g /dev/null"]
    lines += [f"LOCK TABLE {', '.join(there.values())} IN ACCESS EXCLUSIVE MODE;"] if there else []
    lines += [_REFUSE.format(called) for called in filled]
    lines += [f"DROP TABLE {', '.join(there.values())};"] if there else []
    return "\n".join(lines).encode() + b"\n"


def _run(found: Programs, where: Target, backup: Backup, before: bytes, tell: Tell) -> None:
    """Run the two programs, and let flow between them what flows.

    Raises:
        ProgramFailed: one of them failed, and nothing was changed.
    """
    read = ("--format=custom", "--no-owner", "--no-privileges", "--file=-")
    # Terse, because the rest of an error may quote what was said.
    execute = (
        "--no-psqlrc",
        "--quiet",
        "--no-password",
        "--set=ON_ERROR_STOP=1",
        "--set=VERBOSITY=terse",
        "--file=-",
    )
    with (
        TemporaryFile() as first,
        TemporaryFile() as second,
        _started([found.path("pg_restore"), *read], where, stdout=PIPE, stderr=first) as writes,
        _started(
            [found.path("psql"), *execute, where.argument], where, stdout=DEVNULL, stderr=second
        ) as runs,
    ):
        assert writes.stdin is not None and writes.stdout is not None and runs.stdin is not None
        feeding = Thread(target=_feed, args=(writes.stdin, backup, tell))
        feeding.start()
        try:
            with suppress(BrokenPipeError):  # of psql, which has ended: it says why
                runs.stdin.write(before)
                shutil.copyfileobj(writes.stdout, runs.stdin)
                if writes.wait() == 0:
                    runs.stdin.write(b"\nCOMMIT;\n")
                    runs.stdin.close()
                    if runs.wait() == 0:
                        return
            raise ProgramFailed(f"{_why(runs, first, second)}; nothing was changed")
        finally:
            writes.kill()  # so that nobody waits for it to take more
            feeding.join()


@contextmanager
def _started(command: Sequence[str], where: Target, **ends: Any) -> "Iterator[Popen[bytes]]":
    """A program, which does not outlive this; killed in the middle, psql leaves all as it was."""
    process = Popen(command, env=dict(where.environment), stdin=PIPE, **ends)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for end in (process.stdin, process.stdout):
            with suppress(BrokenPipeError):
                if end is not None:
                    end.close()


def _feed(end: IO[bytes], backup: Backup, tell: Tell) -> None:
    """Give pg_restore the archive, as far as it takes it: whether that was enough its status tells."""
    with suppress(BrokenPipeError), end:
        for piece in backup.pieces():
            end.write(piece)
            tell(len(piece))


def _why(runs: "Popen[bytes]", first: IO[bytes], second: IO[bytes]) -> str:
    """Which of the two failed, and what it said."""
    with suppress(TimeoutExpired):
        runs.wait(_GRACE_SECONDS)
    name, said = ("psql", second) if runs.poll() else ("pg_restore", first)
    said.seek(0)
    return f"{name} failed: {programs.said(said.read())}"
