"""Looking after the log: partitions for the months to come, and an end to what is kept no longer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import structlog

from adapters.conversations import partitions, remnants
from adapters.conversations.errors import LogUnavailable
from adapters.database import schema
from adapters.database.session import AWAY, Connection, connect
from adapters.settings import BadSettings, LogSettings

_log = structlog.get_logger(__name__)
_EVERY_SECONDS = 3600.0
_AGAIN_SECONDS = 30.0


class LogUpkeep:
    """A task that looks after the log now and then. Any number of gateways may do so at once."""

    def __init__(self, settings: LogSettings) -> None:
        self._settings = settings
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, with a look at once."""
        self._task = asyncio.create_task(self._for_ever(), name="log upkeep")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _for_ever(self) -> None:
        while True:
            try:
                await keep_up(self._settings)
            except (*AWAY, BadSettings, LogUnavailable) as error:
                # The message might quote what was said.
                _log.warning(
                    "the log was not looked after", event_key="log_upkeep_failed", error=type(error).__name__
                )
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                await asyncio.sleep(_EVERY_SECONDS)


async def keep_up(settings: LogSettings) -> None:
    """Make partitions ahead, and drop those that are kept no longer.

    Raises:
        LogUnavailable: the database was not migrated.
        Any of `AWAY`: the database is away, or was in use for too long.
    """
    async with opened(settings) as (connection, now):
        if made := await partitions.make_ahead(connection, now):
            _log.info("partitions were made", event_key="log_partitions_made", names=made)
        if (before := keeps_since(settings, now)) is None:
            return
        for part in await drop_expired(connection, before):
            _log.info("exchanges were dropped", event_key="log_partition_dropped", name=part.name)


async def drop_expired(connection: Connection, before: datetime) -> list[partitions.Partition]:
    """Drop the partitions that hold only what is older than `before`, and then what is left of it elsewhere.

    Raises:
        asyncpg.LockNotAvailableError: the log was in use for too long; nothing has changed.
    """
    dropped = await partitions.drop_expired(connection, before)
    if (first_kept := await partitions.kept_from(connection, before)) is not None:
        await remnants.forget_before(connection, first_kept)
    return dropped


def keeps_since(settings: LogSettings, now: datetime) -> datetime | None:
    """The moment before which nothing need be kept; None where everything is kept."""
    days = settings.log_retention_days
    return None if days is None else now - timedelta(days=days)


@asynccontextmanager
async def opened(settings: LogSettings) -> AsyncIterator[tuple[Connection, datetime]]:
    """A connection, and the time by the database's clock, which is the same for all gateways.

    Raises:
        Any of `AWAY`: the database is away, or has another schema than this version runs with.
    """
    connection = await connect(settings)
    try:
        await schema.refuse_wrong(connection)
        yield connection, await connection.fetchval("SELECT now()")
    finally:
        await connection.close(timeout=settings.database_connect_timeout)
