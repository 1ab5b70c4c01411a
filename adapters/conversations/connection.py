"""A connection for reading, and for what is written besides the log."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from adapters.conversations.errors import LogUnavailable
from adapters.database.session import AWAY, blames_data

_log = structlog.get_logger(__name__)


def single_statements(engine: AsyncEngine) -> AsyncEngine:
    """The same engine without transactions: every statement stands by itself."""
    return engine.execution_options(isolation_level="AUTOCOMMIT")


@asynccontextmanager
async def connected(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection of the pool.

    Raises:
        LogUnavailable: the database is away, or no connection is free.
    """
    try:
        async with engine.connect() as connection:
            yield connection
    except (DBAPIError, NoConnectionFree, *AWAY) as error:
        if blames_data(error):
            raise
        _log.warning("the log cannot be read", event_key="log_unreadable", error=type(error).__name__)
        raise LogUnavailable("The conversation log cannot be read now; try again shortly.") from None
