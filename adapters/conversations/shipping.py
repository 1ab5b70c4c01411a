"""Shipping the spools that processes which have ended left on this machine, without a gateway."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from adapters.conversations.entries import decode
from adapters.conversations.errors import ExchangeRefused
from adapters.conversations.insertion import insert_all, insertion
from adapters.conversations.spool_file import Kept, SpoolFile, SpoolTaken
from adapters.database.session import AWAY, Connection, blames_data
from adapters.settings import LogSettings


@dataclass(kw_only=True, slots=True)
class Shipped:
    """What became of the spools of this machine."""

    records: int = 0
    """That are in PostgreSQL now: exchanges, and answers that are kept for repeated requests."""
    left: int = 0
    """That PostgreSQL refuses, or that are damaged: still where they were, for a gateway to set aside."""
    held: list[Path] = field(default_factory=list)
    """Files of running gateways, which ship them themselves."""
    unreadable: list[Path] = field(default_factory=list)


async def ship_left(connection: Connection, settings: LogSettings) -> Shipped:
    """Bring what waits in spool files that no process holds into PostgreSQL.

    Raises:
        Any of `AWAY`: PostgreSQL is away; what was not shipped is still in the files.
    """
    shipped = Shipped()
    for path in sorted(settings.spool_dir.glob("spool-*.sqlite")):
        try:
            with closing(SpoolFile(path, settings.spool_max_bytes)) as file:
                await _ship(connection, file, settings.log_batch_limit, shipped)
                shipped.left += file.count()
        except SpoolTaken:
            shipped.held.append(path)
        except (sqlite3.Error, OSError):
            shipped.unreadable.append(path)
    return shipped


async def _ship(connection: Connection, file: SpoolFile, at_once: int, shipped: Shipped) -> None:
    while kept := file.first(at_once):
        places = await _inserted(connection, kept)
        shipped.records += file.remove(places)
        if len(places) < len(kept):
            return


async def _inserted(connection: Connection, kept: Sequence[Kept]) -> list[int]:
    """The places of those that PostgreSQL has taken: all of them, or those that it takes one by one."""
    if await _takes(connection, kept):
        return [one.place for one in kept]
    return [one.place for one in kept if await _takes(connection, [one])]


async def _takes(connection: Connection, kept: Sequence[Kept]) -> bool:
    try:
        await insert_all(connection, [insertion(decode(one.record.content)) for one in kept])
    except ExchangeRefused:
        return False
    except AWAY as error:
        if blames_data(error):
            return False
        raise
    return True
