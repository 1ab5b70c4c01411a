"""A port through which other machines reach an engine that was checked, by passing bytes on to its socket."""

import asyncio
from contextlib import suppress
from pathlib import Path

from serving.errors import CannotRun

_PIECE_BYTES = 64 * 1024


class Port:
    """Open while a checked engine is published, closed otherwise, so that no other engine can be reached by it."""

    def __init__(self, host: str, port: int, most: int) -> None:
        """`most` connections are passed on at once; further ones are closed."""
        self._host = host
        self._port = port
        self._most = most
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def open(self, engine: Path) -> None:
        """Listen, and pass every connection on to the engine's socket.

        Raises:
            CannotRun: the port cannot be had.
        """

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            if len(self._connections) >= self._most:
                writer.transport.abort()
                return
            self._connections.add(task)
            try:
                with suppress(asyncio.CancelledError):  # by us; asyncio would print it as a mistake
                    await _pass_on(reader, writer, engine)
            finally:
                self._connections.discard(task)

        try:
            self._server = await asyncio.start_server(serve, self._host, self._port, limit=_PIECE_BYTES)
        except OSError as error:
            raise CannotRun(
                f"ZEPHYR_ENGINE_PORT: {self._port} on {self._host} cannot be used ({error.strerror})"
            ) from None

    def close(self) -> None:
        """Listen no more, and cut what is connected: its engine has ended."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._connections:
            task.cancel()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, engine: Path) -> None:
    """Pass bytes on in both directions until either side ends; what ends one ends the other."""
    try:
        answers, asked = await asyncio.open_unix_connection(engine, limit=_PIECE_BYTES)
    except OSError:
        writer.transport.abort()
        return
    ways = {asyncio.create_task(_copy(reader, asked)), asyncio.create_task(_copy(answers, writer))}
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        for side in (asked, writer):
            side.close()  # what was taken is still sent
        await asyncio.gather(*ways, return_exceptions=True)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Copy until the source ends or the target is gone. A target that does not read holds the source back."""
    with suppress(OSError):
        while piece := await source.read(_PIECE_BYTES):
            target.write(piece)
            await target.drain()
