"""Which schemas this version of the gateway runs with, and which gateways a schema takes.

A schema grows before it shrinks: a migration only adds, and what nobody uses any more goes in a later one. So gateways of
the version before run on beside new ones until all are replaced. How far that reaches a migration says itself
(`gateways_from`), and the database keeps it beside its revision: an older gateway cannot know it otherwise.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from adapters.database.session import Connection

MIGRATIONS = Path(__file__).parent / "migrations"
BASE = "base"
"""The revision of a database in which there is nothing of ours."""
_FOUND = "SELECT version_num, obj_description('alembic_version'::regclass, 'pg_class') FROM alembic_version"
_COMMENT = "gateways from {}"


class WrongSchema(Exception):
    """The database has a schema with which this gateway does not run; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Schema:
    """A database's schema."""

    revision: str
    """That of the newest migration that was run."""
    gateways_from: str
    """The oldest revision whose gateways run with it."""

    @property
    def newer(self) -> bool:
        """Whether it was made by a newer version than this one."""
        return self.revision != BASE and self.revision > newest()

    def refuse_wrong(self) -> None:
        """Return only if this gateway runs with it.

        Raises:
            WrongSchema: it does not.
        """
        if self.revision == BASE:
            raise WrongSchema("the database has no tables of the gateway's yet: run `zephyr migrate`")
        if self.revision < newest():
            raise WrongSchema(
                f"the database's schema is older ({self.revision}) than this gateway needs ({newest()}): "
                "run `zephyr migrate`"
            )
        if self.gateways_from > newest():
            raise WrongSchema(
                f"the database's schema is newer ({self.revision}) and takes gateways from {self.gateways_from} on, "
                f"and this one is of {newest()}: start a newer version, or go down with that version's `zephyr migrate --to`"
            )


def newest() -> str:
    """The revision to which this version brings databases."""
    return max(file.name[:4] for file in (MIGRATIONS / "versions").glob("[0-9]*.py"))


async def look(connection: "Connection") -> Schema:
    """The schema of a database."""
    try:
        found = await connection.fetchrow(_FOUND)
    except asyncpg.UndefinedTableError:
        found = None
    if found is None:
        return Schema(revision=BASE, gateways_from=BASE)
    revision, comment = found
    told = re.search(_COMMENT.format(r"(\d{4})"), comment or "")
    return Schema(revision=revision, gateways_from=told.group(1) if told else revision)


async def refuse_wrong(connection: "Connection") -> None:
    """Return only if this gateway runs with the database's schema.

    Raises:
        WrongSchema: it does not.
    """
    (await look(connection)).refuse_wrong()


def remark(gateways_from: str | None) -> str:
    """The SQL that keeps beside the revision which gateways it takes; None takes that back."""
    text = "NULL" if gateways_from is None else f"'{_COMMENT.format(gateways_from)}'"
    return f"COMMENT ON TABLE alembic_version IS {text}"
