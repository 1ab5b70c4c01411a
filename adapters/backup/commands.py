"""`zephyr backup` and `zephyr restore`. What is heavy is imported by the command that needs it."""
# ruff: noqa: PLC0415

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.observability.console import plain_errors

if TYPE_CHECKING:
    from adapters.backup.making import Tell
    from adapters.conversations.shipping import Shipped
    from adapters.settings import LogSettings

_NOT_ALL = 3
"""The exit status of a backup that is whole, while something waits elsewhere."""
_SPOOL_PATIENCE_SECONDS = 30.0


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write; it must not exist yet.")],
) -> None:
    """Write everything that is in the database to a file, while it is in use. What waits in spools is shipped first."""
    from adapters.backup.archive import CannotWrite
    from adapters.backup.making import make
    from adapters.backup.programs import NoPrograms, ProgramFailed
    from adapters.database.running import log_settings

    with plain_errors(CannotWrite, NoPrograms, ProgramFailed, _Away), _named():
        settings = log_settings()
        shipped = asyncio.run(_ship(settings))
        waiting = _wait_for_gateway() if shipped.held else 0
        with _progress("backing up", None) as tell:
            manifest = asyncio.run(make(settings, file, tell))
        typer.echo(f"{file}: {_listed(manifest.rows)}; schema {manifest.revision}, {manifest.bytes} bytes.")
        _say_what_waits(shipped, waiting)


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `zephyr backup` has written.")],
) -> None:
    """Bring a backup into a database in which nothing is yet: all of it, or nothing."""
    from adapters.backup.archive import NotWhole, reading
    from adapters.backup.programs import NoPrograms, ProgramFailed
    from adapters.backup.restoring import CannotRestore
    from adapters.backup.restoring import restore as bring
    from adapters.database.migrate import CannotMigrate
    from adapters.database.running import log_settings

    foreseen = (NotWhole, NoPrograms, ProgramFailed, CannotRestore, CannotMigrate, _Away)
    with plain_errors(*foreseen), _named(), reading(file) as opened:
        with _progress("checking", opened.manifest.bytes) as tell:
            for size in opened.verify():
                tell(size)
        with _progress("restoring", opened.manifest.bytes) as tell:
            restored = asyncio.run(bring(log_settings(), opened, tell))
        made = f"{restored.manifest.made_at:%Y-%m-%d %H:%M:%S} UTC"
        typer.echo(f"Restored, as it was at {made}: {_listed(restored.rows)}.")


class _Away(Exception):
    """The database is away, or not one to work with."""


@contextmanager
def _named() -> Iterator[None]:
    """What asyncpg raises, as a sentence without anything of the URL."""
    from adapters.database.schema import WrongSchema
    from adapters.database.session import AWAY

    try:
        yield
    except WrongSchema as error:
        raise _Away(f"DATABASE_URL: {error}.") from None
    except AWAY as error:
        raise _Away(
            f"The database cannot be used now ({type(error).__name__}). Start the embedded one with `zephyr db`, or name "
            "another by DATABASE_URL."
        ) from None


async def _ship(settings: "LogSettings") -> "Shipped":
    from adapters.conversations.shipping import Shipped, ship_left
    from adapters.conversations.upkeep import opened

    if not settings.spool_dir.is_dir():
        return Shipped()
    async with opened(settings) as (connection, _):
        return await ship_left(connection, settings)


def _wait_for_gateway() -> int:
    """Wait until the running gateway has shipped its spool; how much it still holds."""
    from adapters.observability.second_listener import NoGateway, SecondListener
    from adapters.settings import Settings

    gateway = SecondListener(Settings.read().admin_server)
    ends = time.monotonic() + _SPOOL_PATIENCE_SECONDS
    while True:
        try:
            waiting = gateway.facts("/log/status").get("spooled")
        except NoGateway:
            return 0  # then it is another's file, and is told of as held
        if not waiting or time.monotonic() > ends:
            return waiting if isinstance(waiting, int) else 0
        time.sleep(0.2)


def _say_what_waits(shipped: "Shipped", waiting: int) -> None:
    if shipped.records:
        typer.echo(f"{shipped.records} records that waited in a spool were shipped first, and are in it.")
    lines = [f"{path} is damaged: what is in it is not in the backup." for path in shipped.unreadable]
    if waiting:
        lines.append(
            f"{waiting} records wait in the gateway's spool, and are not in the backup: see `zephyr log status`."
        )
    if shipped.left:
        lines.append(
            f"{shipped.left} records in spools are refused by PostgreSQL, and are not in the backup."
        )
    for line in lines:
        typer.echo(line, err=True)
    if lines:
        raise typer.Exit(_NOT_ALL)


def _listed(rows: Mapping[str, int]) -> str:
    return (
        ", ".join(f"{count} {table.replace('_', ' ')}" for table, count in rows.items() if count) or "nothing"
    )


@contextmanager
def _progress(what: str, total: int | None) -> "Iterator[Tell]":
    """A bar on a terminal, and nothing elsewhere."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        FileSizeColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    console = Console(stderr=True)
    size = FileSizeColumn() if total is None else DownloadColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), size, TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda more: progress.advance(task, more)
