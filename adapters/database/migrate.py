"""Bringing a database to the schema that this version of the gateway expects."""

import asyncio
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, pool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from adapters.database.session import AWAY, connect
from adapters.settings import LogSettings

_ADVISORY_LOCK = 0x7A657068  # "zeph": one number that every gateway uses for migrating, and for nothing else


class CannotMigrate(Exception):
    """The database could not be brought to the expected schema."""


async def migrate(settings: LogSettings, *, revision: str = "head", patience: float = 60.0) -> None:
    """Bring the database to `revision`, one gateway at a time; does nothing where it is there already.

    Waits up to `patience` seconds for the database to come up, and as long for another that migrates.

    Raises:
        CannotMigrate: the database stayed away, or was locked, or a migration failed.
        BadSettings: the URL cannot be used.
    """
    await _wait_for_database(settings, patience)
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: connect(settings),
        poolclass=pool.NullPool,
        hide_parameters=True,
    )
    try:
        async with engine.begin() as connection:
            await connection.execute(text(f"SET LOCAL lock_timeout = '{round(patience * 1000)}ms'"))
            await connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
            await connection.run_sync(_run, revision)
    except (DBAPIError, *AWAY) as error:
        raise CannotMigrate(_reason(error)) from error


def configuration() -> Config:
    """Alembic's configuration, found from this package and not from the folder the program was started in."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def _run(connection: Connection, revision: str) -> None:
    config = configuration()
    config.attributes["connection"] = connection
    if revision == "base" or revision.startswith("-"):
        command.downgrade(config, revision)
    else:
        command.upgrade(config, revision)


async def _wait_for_database(settings: LogSettings, patience: float) -> None:
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
        else:
            await connection.close()
            return


def _reason(error: BaseException) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    cause = cause.__cause__ or cause
    if isinstance(cause, asyncpg.LockNotAvailableError):
        return "another program is migrating this database, or holds its tables, and does not come to an end"
    return f"{type(cause).__name__}: {str(cause).splitlines()[0] if str(cause) else ''}"
