"""Connections to PostgreSQL: how one is opened, and which of its errors mean what."""

from typing import TYPE_CHECKING

import asyncpg
from asyncpg.connect_utils import SessionAttribute
from asyncpg.exceptions import InternalClientError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from adapters.database.schema import WrongSchema
from adapters.settings import BadSettings, LogSettings

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection  # which has no parameters at run time

APPLICATION_NAME = "zephyr-gateway"
AWAY = (asyncpg.PostgresError, asyncpg.InterfaceError, InternalClientError, OSError, WrongSchema)
"""What is raised when a statement did not come through, or must not; `blames_data` tells whose fault it was."""
_FAULTS_OF_DATA = {
    "22",
    "23",
    "54",
}  # data exception, constraint violation, program limit: classes of SQLSTATE


def address(settings: LogSettings) -> str:
    """The database's URL as asyncpg takes it.

    Raises:
        BadSettings: it is not a URL of PostgreSQL. The message never holds any part of it.
    """
    try:
        url = make_url(settings.database_url.get_secret_value())
    except (ArgumentError, ValueError):
        raise BadSettings("DATABASE_URL: this is not a URL") from None
    if url.drivername not in ("postgresql", "postgres", "postgresql+asyncpg"):
        raise BadSettings("DATABASE_URL: only postgresql:// URLs are taken")
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


async def connect(settings: LogSettings, *, query_timeout: float | None = None) -> Connection:
    """Open a connection to a server that can be written to.

    Raises:
        BadSettings: the URL cannot be used.
        Any of `AWAY`: there is no such server, or it does not let us in.
    """
    dsn = address(settings)
    try:
        return await asyncpg.connect(
            dsn,
            timeout=settings.database_connect_timeout,
            command_timeout=query_timeout,
            target_session_attrs=SessionAttribute.read_write,
            # A commit that the client is told of must be on disk, whatever the database's default is.
            server_settings={"application_name": APPLICATION_NAME, "synchronous_commit": "on"},
        )
    except ValueError as error:  # asyncpg quotes the URL's parts in its own words
        raise BadSettings(f"DATABASE_URL: asyncpg cannot use it ({type(error).__name__})") from None
    except KeyError:  # of getpass.getuser(), under a user id that has no name, as in containers
        raise BadSettings("DATABASE_URL: it names no user, and this process's user has no name") from None


def create_engine(settings: LogSettings) -> AsyncEngine:
    """SQLAlchemy's engine for everything but the writer, which keeps one connection of the pool's size for itself."""
    address(settings)

    async def open_connection() -> Connection:
        return await connect(settings, query_timeout=settings.database_query_timeout)

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=open_connection,
        pool_size=settings.database_pool_size - 1,
        max_overflow=0,
        pool_timeout=settings.database_connect_timeout,
        pool_pre_ping=True,
        hide_parameters=True,
        json_deserializer=str,
    )


def blames_data(error: BaseException) -> bool:
    """Whether the statement failed because of what was in it, so that another try would fail as well."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return str(getattr(cause, "sqlstate", None) or "")[:2] in _FAULTS_OF_DATA
