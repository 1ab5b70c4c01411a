"""Whether a gateway may start: not on a database whose schema is another than it runs with."""

import asyncio
from contextlib import suppress

from adapters.database import schema
from adapters.database.schema import WrongSchema
from adapters.database.session import AWAY, connect
from adapters.settings import BadSettings, LogSettings

_PATIENCE_SECONDS = 1.0


async def require_schema(settings: LogSettings) -> None:
    """Return only if the gateway may start. Where the database is away it may: the writer looks again.

    Raises:
        BadSettings: the schema is too old, or too new; or the URL cannot be used.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE_SECONDS):
            try:
                connection = await connect(settings)
            except AWAY:
                return
            try:
                await schema.refuse_wrong(connection)
            except WrongSchema as error:
                raise BadSettings(f"DATABASE_URL: {error}") from None
            except AWAY:
                return
            finally:
                connection.terminate()
