"""The other end of a request, as far as it can go away."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from starlette.types import Receive

from adapters.errors import GatewayError

_UNWATCHED_SECONDS = 0.1
Tell = Callable[[int], Awaitable[None]]
"""Tells a client that waits for its turn which place it has."""


class ClientGone(GatewayError):
    """The client went away, or took nothing of its answer any more."""

    status = 499
    code = "client_gone"


class Client:
    """Tells those who work for a client when it has gone, and the client where its time goes.

    An ASGI server does not interrupt an application whose client left, so that somebody has to wait for its
    `http.disconnect`. The request's body must have been read before.
    """

    tell_place: Tell | None = None
    """For who waits for its turn; None where the client cannot be told."""

    def __init__(self, receive: Receive, headers: dict[bytes, bytes] | None = None) -> None:
        """`headers` is what `adapters.access.gate.answer_headers` gives."""
        self.headers = {} if headers is None else headers
        """What the answer's head is to tell the client; of no effect once that is sent."""
        self._began = time.monotonic()
        self._queue_ms = 0.0
        self._receive = receive
        self._watchers: set[Callable[[GatewayError], None]] = set()
        self._starter: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._gone = False

    def note_wait(self, milliseconds: float) -> None:
        """Remember how long its turn was waited for; of several generations the longest counts."""
        self._queue_ms = max(self._queue_ms, milliseconds)

    def timing(self, moment: str) -> tuple[bytes, bytes]:
        """The `server-timing` header of an answer that begins now, with its first event or its total.

        In milliseconds since the request was read (https://www.w3.org/TR/server-timing/).
        """
        now = (time.monotonic() - self._began) * 1000
        return b"server-timing", b"queue;dur=%.1f, %b;dur=%.1f" % (self._queue_ms, moment.encode(), now)

    def watch(self, stop: Callable[[GatewayError], None]) -> None:
        """Have `stop` called when the client goes, or at once when it has gone."""
        if self._gone:
            stop(ClientGone())
            return
        self._watchers.add(stop)
        if self._starter is None:
            # Most plain answers are there before anyone could leave: they need no task of their own.
            self._starter = asyncio.get_running_loop().call_later(_UNWATCHED_SECONDS, self._start)

    def unwatch(self, stop: Callable[[GatewayError], None]) -> None:
        """Do not call `stop` any more."""
        self._watchers.discard(stop)
        if not self._watchers:
            self._rest()

    def _start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._wait(), name="client watch")

    def _rest(self) -> None:
        if self._starter is not None:
            self._starter.cancel()
            self._starter = None
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _wait(self) -> None:
        with suppress(asyncio.CancelledError):
            while (await self._receive())["type"] != "http.disconnect":
                continue
            self._gone = True
            self._task = None
            for stop in list(self._watchers):
                stop(ClientGone())
