"""Making a backup: one snapshot of all of our tables, by pg_dump."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from adapters import __version__
from adapters.backup import programs, tables
from adapters.backup.archive import Manifest, Writing, now, writing
from adapters.backup.programs import ProgramFailed, Programs
from adapters.database import schema
from adapters.database.session import Connection, connect
from adapters.settings import LogSettings

_PIECE_BYTES = 256 * 1024
Tell = Callable[[int], None]
"""Takes how many more bytes are done."""


async def make(settings: LogSettings, path: Path, tell: Tell) -> Manifest:
    """Write a backup to a new file; nothing is left of one that fails.

    Raises:
        CannotWrite: the file cannot be written.
        NoPrograms, ProgramFailed: pg_dump is missing, or failed.
        Any of `AWAY`: the database is away, or has a schema that this version does not know.
    """
    with writing(path) as file:
        connection = await connect(settings)
        try:
            await schema.refuse_wrong(connection)
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return file.finish(await _dump(connection, settings, file, tell))
        finally:
            await connection.close()


async def _dump(connection: Connection, settings: LogSettings, file: Writing, tell: Tell) -> Manifest:
    await connection.execute("LOCK TABLE exchanges IN ACCESS SHARE MODE")  # no month comes or goes meanwhile
    snapshot: str = await connection.fetchval("SELECT pg_export_snapshot()")
    server = connection.get_server_version().major
    found = programs.at_least(server)
    names = [*(await tables.present(connection)).values(), *await tables.partitions(connection)]
    await _run(
        found, settings, [f"--snapshot={snapshot}", *(f"--table={name}" for name in names)], file, tell
    )
    return Manifest(
        made_at=now(),
        version=__version__,
        revision=(await schema.look(connection)).revision,
        server=server,
        program=found.major,
        rows=dict(await tables.counted(connection)),
    )


async def _run(found: Programs, settings: LogSettings, which: list[str], file: Writing, tell: Tell) -> None:
    where = programs.target(settings)
    process = await asyncio.create_subprocess_exec(
        found.path("pg_dump"),
        *("--format=custom", "--no-owner", "--no-privileges", "--no-password", *which, where.argument),
        env=dict(where.environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    complaints = asyncio.create_task(process.stderr.read())
    try:
        while piece := await process.stdout.read(_PIECE_BYTES):
            file.write(piece)
            tell(len(piece))
        if await process.wait() != 0:
            raise ProgramFailed(f"pg_dump failed: {programs.said(await complaints)}")
    finally:
        complaints.cancel()
        await programs.end(process)
