"""Bringing a database to the schema that this version of the gateway expects."""

import asyncio
from collections.abc import Sequence

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, pool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from adapters.database import schema
from adapters.database.schema import BASE, Schema, WrongSchema
from adapters.database.session import AWAY, connect
from adapters.settings import LogSettings

ADVISORY_LOCK = 0x7A657068
"""zeph: one number that everybody uses who migrates or restores, and for nothing else."""


class CannotMigrate(Exception):
    """The database could not be brought to the expected schema."""


async def migrate(settings: LogSettings, *, revision: str = "head", patience: float = 60.0) -> None:
    """Bring the database to `revision`, one gateway at a time; does nothing where it is there already, or where a newer
    version has gone further and this one runs with that.

    Waits up to `patience` seconds for the database to come up, and as long for another that migrates.

    Raises:
        CannotMigrate: the database stayed away, or was locked, or is of a newer version, or a migration failed.
        BadSettings: the URL cannot be used.
    """
    found = await _wait_for_database(settings, patience)
    if found.newer:
        _refuse_newer(found, revision)
        return
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: connect(settings),
        poolclass=pool.NullPool,
        hide_parameters=True,
    )
    try:
        async with engine.begin() as connection:
            await connection.execute(text(f"SET LOCAL lock_timeout = '{round(patience * 1000)}ms'"))
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"))
            await connection.run_sync(_run, revision)
    except (DBAPIError, CommandError, *AWAY) as error:
        raise CannotMigrate(_reason(error)) from error


async def way_down(settings: LogSettings, revision: str, *, patience: float) -> Sequence[str]:
    """What each step down to `revision` loses, in order; nothing where that is not down.

    Raises:
        CannotMigrate: the database stayed away, or this version has no such revision.
    """
    scripts = ScriptDirectory.from_config(configuration())
    steps = [script.revision for script in scripts.walk_revisions()]
    if revision not in (*steps, BASE):
        raise CannotMigrate(f"there is no revision {revision}: they are {BASE}, {', '.join(reversed(steps))}")
    now = (await _wait_for_database(settings, patience)).revision
    undone = [step for step in steps if (revision == BASE or step > revision) and now != BASE and step <= now]
    return [f"{step}: {_loss(scripts.get_revision(step))}" for step in undone]


def configuration() -> Config:
    """Alembic's configuration, found from this package and not from the folder the program was started in."""
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS).replace("%", "%%"))
    return config


def _run(connection: Connection, revision: str) -> None:
    config = configuration()
    config.attributes["connection"] = connection
    before = _revision(connection)
    down = revision == BASE or revision.startswith("-") or (revision.isdigit() and revision < before)
    (command.downgrade if down else command.upgrade)(config, revision)
    after = _revision(connection)
    connection.execute(text(schema.remark(_gateways_from(config, after) if after else None)))


def _revision(connection: Connection) -> str:
    """The database's revision; empty where it has none."""
    if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return ""
    return connection.scalar(text("SELECT version_num FROM alembic_version")) or ""


def _gateways_from(config: Config, revision: str) -> str:
    """The oldest gateways that run with a revision: of the one before, unless its migration says something else."""
    script = ScriptDirectory.from_config(config).get_revision(revision)
    return str(getattr(script.module, "gateways_from", None) or script.down_revision or revision)


def _loss(script: Script) -> str:
    """What going down from a revision loses, in its migration's own words."""
    return " ".join((script.module.downgrade.__doc__ or "").split())


def _refuse_newer(found: Schema, revision: str) -> None:
    """Return only if a database of a newer version is as good as one of this."""
    if revision != "head":
        raise CannotMigrate(
            f"the database is of a newer version ({found.revision}), which alone can bring it down"
        )
    try:
        found.refuse_wrong()
    except WrongSchema as error:
        raise CannotMigrate(str(error)) from None


async def _wait_for_database(settings: LogSettings, patience: float) -> Schema:
    """Its schema, once it is there."""
    ends = asyncio.get_running_loop().time() + patience
    while True:
        try:
            connection = await connect(settings)
        except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as error:
            raise CannotMigrate(_reason(error)) from None  # waiting would not help
        except AWAY as error:
            if asyncio.get_running_loop().time() >= ends:
                raise CannotMigrate(
                    f"the database does not answer within {patience:g} s ({type(error).__name__})"
                ) from None
            await asyncio.sleep(0.2)
            continue
        try:
            return await schema.look(connection)
        finally:
            await connection.close()


def _reason(error: BaseException) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    cause = cause.__cause__ or cause
    if isinstance(cause, asyncpg.LockNotAvailableError):
        return "another program is migrating this database, or holds its tables, and does not come to an end"
    return f"{type(cause).__name__}: {str(cause).splitlines()[0] if str(cause) else ''}"
