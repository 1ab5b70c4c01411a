"""One connection to the database that knows at any moment whether the database is there."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import structlog

from adapters.database.schema import WrongSchema
from adapters.database.session import AWAY, Connection, blames_data, connect
from adapters.settings import BadSettings, LogSettings

_log = structlog.get_logger(__name__)
_PATIENCE_SECONDS = 1.0  # a statement that runs for longer means: away, until it is answered


class DatabaseAway(Exception):
    """The database did not do what it was asked; another try may succeed."""


class RefusedData(Exception):
    """The database refused what was in the statement; another try would fail as well."""


class Link:
    """One connection, opened when it is needed and given up at the first doubt."""

    def __init__(self, settings: LogSettings) -> None:
        self._settings = settings
        self._connection: Connection | None = None
        self._asked_at: float | None = None
        self.last_error: str | None = "NotConnectedYet"
        """The class of the last error; never its text, which may quote what was said, but for what is wrong with the schema."""
        self.away_since: datetime | None = datetime.now(UTC)

    @property
    def up(self) -> bool:
        """Whether the database answered last time, and is not keeping us waiting now."""
        silent = self._asked_at is not None and time.monotonic() - self._asked_at > _PATIENCE_SECONDS
        return self.away_since is None and not silent

    async def run(self, command: Callable[[Connection], Awaitable[object]], *, timeout: float) -> None:
        """Run a command on the connection, opening one first if need be, in `timeout` seconds in all.

        Raises:
            DatabaseAway: it did not come through, or nobody knows whether it did.
            RefusedData: the database will not have what was in it.
        """
        self._asked_at = time.monotonic()
        # asyncpg swallows a cancellation in the middle of a large batch, and then waits for an answer to what it has not
        # sent. Only the end of the connection wakes it.
        giving_up = asyncio.get_running_loop().call_later(timeout, self.close)
        try:
            async with asyncio.timeout(timeout):
                await command(await self._open())
        except (*AWAY, BadSettings) as error:
            if _is_cancelled():
                raise asyncio.CancelledError from None
            if blames_data(error):
                self._answered()
                raise RefusedData(type(error).__name__) from None
            self._lost(error)
            raise DatabaseAway from None
        finally:
            giving_up.cancel()
            self._asked_at = None
        self._answered()

    def close(self) -> None:
        """Give the connection up."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _open(self) -> Connection:
        if self._connection is None:
            self._connection = await connect(self._settings)
        return self._connection

    def _answered(self) -> None:
        if self.away_since is not None:
            _log.info("the database is there", event_key="database_up")
            self.away_since = self.last_error = None

    def _lost(self, error: BaseException) -> None:
        self.close()
        self.last_error = str(error) if isinstance(error, WrongSchema) else type(error).__name__
        if self.away_since is None:
            self.away_since = datetime.now(UTC)
            _log.warning("the database is away", event_key="database_away", error=self.last_error)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
