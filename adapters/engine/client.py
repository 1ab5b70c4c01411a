"""The client of vLLM's OpenAI server: a pool of connections, and the few calls the gateway makes."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from adapters.engine.connection import Connection, StaleConnection
from adapters.engine.errors import EngineBroke, EngineUnavailable
from adapters.errors import GatewayError
from adapters.settings import EngineSettings

_POST = b"POST %s HTTP/1.1\r\n%scontent-type: application/json\r\nx-request-id: %s\r\n%scontent-length: %d\r\n\r\n"
_PROBE_LIMIT_BYTES = 8 * 2**20  # /metrics and /tokenizer_info of a large model stay far below


class EngineClient:
    """Opens requests at the engine. Nothing of a client's own headers is ever passed on."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._idle: deque[tuple[float, Connection]] = deque()
        self._at_work: set[Connection] = set()
        self._last_piece_at = 0.0
        url = settings.engine_url.rstrip("/")
        self._socket_path = url.removeprefix("unix:") if url.startswith("unix:") else None
        authority = "engine" if self._socket_path else url.removeprefix("http://")
        self._host_header = b"host: " + authority.encode() + b"\r\n"
        self._address = ("", 0) if self._socket_path else _address(authority)

    async def post(
        self,
        path: str,
        body: bytes,
        request_id: str,
        opened: Callable[[Connection], None],
        session: bytes,
        trace: bytes = b"",
    ) -> Connection:
        """Send a generation and return its connection once the engine's status is there.

        A router sends what has the same `session` to the same engine; an engine by itself passes it over.
        `trace` are the header lines by which the engine goes on with a trace.
        `opened` is told of the connection as soon as the request is on its way, so that it can be stopped.
        Whoever takes the connection gives it back with `release`.

        Raises:
            GatewayError: the engine cannot be reached, broke off or gave no answer in time.
        """

        def at_work(connection: Connection) -> None:
            self._at_work.add(connection)
            opened(connection)

        head = self._head(path, body, request_id, b"x-session-id: %s\r\n%s" % (session, trace))
        return await self._send(head, body, self._settings.engine_first_byte_timeout, at_work)

    async def get(self, path: str, *, timeout: float = 5.0) -> tuple[int, bytes]:
        """The status and the body of a small answer: health, models, metrics.

        Raises:
            GatewayError: the engine cannot be reached, broke off or gave no answer in time.
        """
        head = b"GET %s HTTP/1.1\r\n%s\r\n" % (path.encode(), self._host_header)
        return await self._small(head, b"", timeout)

    async def ask(self, path: str, body: bytes, request_id: str, *, timeout: float) -> tuple[int, bytes]:
        """The status and the body of a small answer to a question that generates nothing.

        Raises:
            GatewayError: the engine cannot be reached, broke off or gave no answer in time.
        """
        return await self._small(self._head(path, body, request_id), body, timeout)

    def _head(self, path: str, body: bytes, request_id: str, more: bytes = b"") -> bytes:
        return _POST % (path.encode(), self._host_header, request_id.encode(), more, len(body))

    async def _small(self, head: bytes, body: bytes, timeout: float) -> tuple[int, bytes]:
        connection = await self._send(head, body, timeout, _unattended)
        try:
            return connection.status, await read_all(connection, _PROBE_LIMIT_BYTES)
        finally:
            self.release(connection)

    @property
    def at_work(self) -> int:
        """How many generations wait for the engine, or are being answered."""
        return len(self._at_work)

    @property
    def last_piece_at(self) -> float:
        """When the engine last sent a piece of an answer, by the event loop's clock; 0 where it never has."""
        pieces = (one.last_byte_at for one in self._at_work if one.answering)
        return max((*pieces, self._last_piece_at))

    def stop_all(self, error: GatewayError) -> None:
        """End every generation now: whoever reads gets this error."""
        for connection in list(self._at_work):
            connection.stop(error)

    def release(self, connection: Connection) -> None:
        """Keep a connection whose answer is complete; close any other, which ends the engine's work on it."""
        self._left(connection)
        self._close_old()
        if (
            connection.complete
            and connection.reusable
            and connection.open
            and not connection.held_back
            and self._settings.engine_keep_alive
        ):
            self._idle.append((asyncio.get_running_loop().time(), connection))
        else:
            connection.close()

    def _close_old(self) -> None:
        # The newest is used first, so that after a burst the oldest would lie there for ever.
        oldest_usable = asyncio.get_running_loop().time() - self._settings.engine_keep_alive
        while self._idle and self._idle[0][0] < oldest_usable:
            self._idle.popleft()[1].close()

    def close(self) -> None:
        """Close all unused connections."""
        while self._idle:
            self._idle.pop()[1].close()

    async def _send(
        self, head: bytes, body: bytes, first_byte_timeout: float, opened: Callable[[Connection], None]
    ) -> Connection:
        connection = self._take_idle()
        if connection is not None:
            # A kept connection may just have been closed by the engine. Nothing was answered then, so that
            # sending the request again on a fresh one is safe, once.
            with suppress(StaleConnection):
                return await self._ask(connection, head, body, first_byte_timeout, opened)
        try:
            return await self._ask(await self._connect(), head, body, first_byte_timeout, opened)
        except StaleConnection:
            raise EngineBroke from None

    async def _ask(
        self,
        connection: Connection,
        head: bytes,
        body: bytes,
        first_byte_timeout: float,
        opened: Callable[[Connection], None],
    ) -> Connection:
        idle_timeout = self._settings.engine_idle_timeout
        connection.send(head, body, first_byte_timeout=first_byte_timeout, idle_timeout=idle_timeout)
        opened(connection)
        try:
            await connection.answered()
        except BaseException:
            self._left(connection)
            connection.close()
            raise
        return connection

    def _left(self, connection: Connection) -> None:
        if connection in self._at_work:
            self._at_work.discard(connection)
            if connection.answering:
                self._last_piece_at = max(self._last_piece_at, connection.last_byte_at)

    def _take_idle(self) -> Connection | None:
        self._close_old()
        while self._idle:
            connection = self._idle.pop()[1]
            if connection.open:
                return connection
        return None

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._settings.engine_connect_timeout):
                if self._socket_path:
                    return (await loop.create_unix_connection(Connection, self._socket_path))[1]
                return (await loop.create_connection(Connection, *self._address))[1]
        except (OSError, TimeoutError) as error:
            raise EngineUnavailable from error


async def read_all(connection: Connection, limit: int) -> bytes:
    """The whole body.

    Raises:
        GatewayError: the engine broke off, fell silent, or sent more than `limit` bytes.
    """
    pieces: list[bytes] = []
    size = 0
    while piece := await connection.read():
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise GatewayError("The engine's answer is larger than this server takes.")
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _unattended(connection: Connection) -> None:
    """Nobody stops a probe: it has its own time-out."""


def _address(authority: str) -> tuple[str, int]:
    host, _, port = (
        authority.rpartition(":") if authority.rpartition(":")[2].isdigit() else (authority, "", "80")
    )
    return host.strip("[]"), int(port)
