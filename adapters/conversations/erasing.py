"""Erasing everything that one caller has said: from PostgreSQL, and from the spools of this machine."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from adapters.conversations.entries import decode
from adapters.conversations.errors import ExchangeRefused
from adapters.conversations.exchange import Exchange
from adapters.conversations.spool_file import SpoolFile, SpoolTaken
from adapters.database.session import Connection
from adapters.settings import LogSettings

_AT_ONCE = 1000
_NEXT = """
    SELECT id FROM (SELECT id FROM exchanges WHERE caller = $1 ORDER BY id LIMIT $2) AS next_ones
    ORDER BY id DESC LIMIT 1"""

_OWNED = """
    SELECT quote_ident(c.relname) AS name FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE a.attname = 'caller' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'exchanges'::regclass) AND c.oid <> 'exchanges'::regclass"""
"""Every other table whose rows are a caller's: whoever adds one need not think of this."""


@dataclass(kw_only=True, slots=True)
class Spooled:
    """What became of the spools of this machine."""

    erased: int = 0
    """Exchanges that were in them."""
    held: list[Path] = field(default_factory=list)
    """Files that running gateways hold: what is in them could not be looked at."""
    unreadable: list[Path] = field(default_factory=list)
    """Files that are damaged, or hold what is: nobody can say whose it is."""


async def erase_stored(connection: Connection, caller: str) -> int:
    """Remove all exchanges of a caller from PostgreSQL, some at a time, and all else that is the caller's; how many
    exchanges there were.

    Nothing remains of them, not even that they were. PostgreSQL writes over the room that they took when it needs it.
    """
    erased = 0
    while (last := await connection.fetchval(_NEXT, caller, _AT_ONCE)) is not None:
        done = await connection.execute("DELETE FROM exchanges WHERE caller = $1 AND id <= $2", caller, last)
        erased += int(done.split()[1])
    for table in await connection.fetch(_OWNED):
        await connection.execute(f"DELETE FROM {table['name']} WHERE caller = $1", caller)  # noqa: S608  # a table's name, quoted
    return erased


def erase_spooled(settings: LogSettings, caller: str) -> Spooled:
    """Remove all exchanges of a caller from the spool files that no process holds."""
    spooled = Spooled()
    for path in sorted(settings.spool_dir.glob("spool-*.sqlite*")):
        if path.suffix == ".sqlite":
            _erase_in(path, settings.spool_max_bytes, caller, spooled)
        elif ".damaged-" in path.name:
            spooled.unreadable.append(path)
    return spooled


def _erase_in(path: Path, max_bytes: int, caller: str, spooled: Spooled) -> None:
    ids, exchanges = [], 0
    try:
        with closing(SpoolFile(path, max_bytes)) as file:
            for id, content in file.everything():
                try:
                    if (entry := decode(content)).caller == caller:
                        ids.append(id)
                        exchanges += isinstance(entry, Exchange)
                except ExchangeRefused:
                    if path not in spooled.unreadable:
                        spooled.unreadable.append(path)
            file.erase(*ids)
    except SpoolTaken:
        spooled.held.append(path)
    except sqlite3.Error:
        spooled.unreadable.append(path)
    else:
        spooled.erased += exchanges
