"""Whether a gateway may start: one that other machines reach needs a key that can be used, or somebody's word."""

import structlog

from adapters.database.link import DatabaseAway, Link, RefusedData
from adapters.database.session import Connection
from adapters.keys.repository import any_usable
from adapters.settings import BadSettings, Settings

_log = structlog.get_logger(__name__)
_PATIENCE_SECONDS = 5.0


async def require_a_key(settings: Settings) -> None:
    """Return only if the gateway may start.

    Where the database is away it may: then every request is refused until that can tell whose it is.

    Raises:
        BadSettings: other machines reach it and there is no key.
    """
    if settings.server.local:
        return
    if not settings.keys_required:
        _log.warning("other machines reach this gateway, and need no key", event_key="insecure")
        return
    link, usable = Link(settings.log), False

    async def look(connection: Connection) -> None:
        nonlocal usable
        usable = await any_usable(connection)

    try:
        await link.run(look, timeout=_PATIENCE_SECONDS)
    except (DatabaseAway, RefusedData):
        return
    finally:
        link.close()
    if not usable:
        raise BadSettings(
            f"ZEPHYR_HOST: {settings.server.host} is reached from other machines, and there is no key that they could "
            "use. Make one with `zephyr keys create TENANT`, or start with --insecure if something in front asks who "
            "they are."
        )
