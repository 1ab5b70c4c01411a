"""The keys that this gateway process knows: found in PostgreSQL once, kept up to date behind its requests."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hmac import compare_digest
from typing import TypeVar

import msgspec
import structlog

from adapters.access.callers import Caller
from adapters.database.link import DatabaseAway, Link, RefusedData
from adapters.database.session import Connection
from adapters.errors import Overloaded
from adapters.keys.errors import KeysUnavailable, NotAuthorized
from adapters.keys.repository import CHANNEL, Found, find
from adapters.settings import KeySettings, LogSettings

_log = structlog.get_logger(__name__)
_PATIENCE_SECONDS = 2.0
_RETRY_SECONDS = 0.5
_AT_ONCE = 256  # keys in one query
_MOST_ASKED = 1024  # keys that wait to be looked up
_Value = TypeVar("_Value")


class _Known(msgspec.Struct):
    digest: bytes
    caller: Caller
    until: float
    """In `time.time()`: the key's own end, or that of our trust in what we know, if that is earlier."""


class KnownKeys:
    """Tells whose a key is.

    One task asks PostgreSQL over one connection: for keys that are not known, many at once, and every few seconds, or
    when there was a change, for all that are. Change and look-up meet on that connection, so that none is missed.
    """

    def __init__(self, settings: KeySettings, log: LogSettings) -> None:
        self._settings = settings
        self._link = Link(log)
        self._listening_on: Connection | None = None
        self._known: dict[bytes, _Known] = {}
        self._unknown: dict[bytes, float] = {}
        """Keys that are none, until when that need not be asked again, in `time.monotonic()`."""
        self._asked: dict[bytes, asyncio.Future[_Known | None]] = {}
        self._wake = asyncio.Event()
        self._changed = True
        self._task: asyncio.Task[None] | None = None

    @property
    def unknown(self) -> int:
        """How many keys are remembered as none."""
        return len(self._unknown)

    @property
    def up(self) -> bool:
        """Whether keys that are not known can be looked up."""
        return self._link.up

    def get(self, digest: bytes) -> Caller | None:
        """Whose key has this hash; None where that is not known without asking."""
        known = self._known.get(digest)
        if known is None or not compare_digest(known.digest, digest) or time.time() >= known.until:
            return None
        return known.caller

    async def find(self, digest: bytes) -> Caller:
        """Whose key has this hash, if need be by asking.

        Raises:
            NotAuthorized: it is nobody's, or cannot be used any more.
            KeysUnavailable: PostgreSQL is away, and this key is not known here.
            Overloaded: too many are being looked up.
        """
        if self._unknown.get(digest, 0.0) > time.monotonic():
            raise NotAuthorized
        if not self._link.up:
            raise KeysUnavailable
        if (asked := self._asked.get(digest)) is None:
            if len(self._asked) >= _MOST_ASKED:
                raise Overloaded
            asked = self._asked[digest] = asyncio.get_running_loop().create_future()
            self._wake.set()
        await asyncio.wait([asked])
        if asked.cancelled():
            raise KeysUnavailable
        if (known := asked.result()) is None:
            raise NotAuthorized
        return known.caller

    async def start(self) -> None:
        """Begin; PostgreSQL is asked once before this returns, so that the first request finds it there."""
        try:
            await self._refresh()
        except (DatabaseAway, RefusedData):
            self._hear()  # so that it is asked again soon
        self._task = asyncio.create_task(self._keep_up(), name="known keys")

    async def close(self) -> None:
        """Stop, and give the connection up."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._give_up_asked()
        self._link.close()

    async def _keep_up(self) -> None:
        due = time.monotonic() + self._settings.keys_seconds
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, due - time.monotonic())):
                    await self._wake.wait()
            self._wake.clear()
            try:
                while self._changed or self._asked or time.monotonic() >= due:
                    if self._changed or time.monotonic() >= due:
                        await self._refresh()
                        due = time.monotonic() + self._settings.keys_seconds
                    await self._look_up(list(self._asked)[:_AT_ONCE])
            except (DatabaseAway, RefusedData):
                due = 0.0  # what changed meanwhile was not heard
            except Exception as error:  # noqa: BLE001  # without this task no key would ever be known again
                _log.error("the look at keys stumbled", event_key="keys_error", error=type(error).__name__)
                due = 0.0
            if due == 0.0:
                self._give_up_asked()
                await asyncio.sleep(_RETRY_SECONDS)

    async def _refresh(self) -> None:
        """Ask for all known keys again; what cannot be used any more is known no longer."""
        self._changed = False
        self._unknown.clear()
        digests = list(self._known)
        for place in range(0, len(digests) or 1, _AT_ONCE):
            some = digests[place : place + _AT_ONCE]
            found = await self._find(some)
            for digest in some:
                if digest not in found:
                    self._known.pop(digest, None)
            self._remember(found)

    async def _look_up(self, digests: Sequence[bytes]) -> None:
        if not digests:
            return
        found = await self._find(digests)
        known = self._remember(found)
        again = time.monotonic() + self._settings.keys_seconds
        for digest in digests:
            if digest not in known:
                if self._changed:
                    continue  # it may have been made since: it is looked up again
                _put(self._unknown, digest, again, self._settings.keys_cached)
            self._asked.pop(digest).set_result(known.get(digest))

    async def _find(self, digests: Sequence[bytes]) -> dict[bytes, Found]:
        found: dict[bytes, Found] = {}

        async def ask(connection: Connection) -> None:
            if connection is not self._listening_on:
                await connection.add_listener(CHANNEL, self._hear)
                self._listening_on = connection
            found.update(await find(connection, digests))

        await self._link.run(ask, timeout=_PATIENCE_SECONDS)
        return found

    def _hear(self, *_: object) -> None:
        self._changed = True
        self._wake.set()

    def _remember(self, found: Mapping[bytes, Found]) -> dict[bytes, _Known]:
        now, trusted = time.time(), self._settings.keys_away_seconds
        new = {
            digest: _Known(
                digest=digest,
                caller=_caller(one),
                until=now + (trusted if one.seconds is None else min(one.seconds, trusted)),
            )
            for digest, one in found.items()
        }
        for digest, known in new.items():
            _put(self._known, digest, known, self._settings.keys_cached)
        return new

    def _give_up_asked(self) -> None:
        for asked in self._asked.values():
            asked.cancel()
        self._asked.clear()


def _put(table: dict[bytes, _Value], digest: bytes, value: _Value, limit: int) -> None:
    if digest not in table and len(table) >= limit:
        del table[next(iter(table))]  # the one that has been there longest
    table[digest] = value


def _caller(found: Found) -> Caller:
    return Caller(
        tenant=found.tenant,
        key=found.id,
        scopes=found.scopes,
        weight=found.weight,
        limits=found.limits,
        tenant_limits=found.tenant_limits,
    )
