"""A cable between a client and a server that can be cut, or lose what the server answers."""

import asyncio
from typing import Self


class Cable:
    """Carries one kind of connection from a TCP port of its own to a server's unix socket."""

    def __init__(self, server_socket: str) -> None:
        self._server_socket = server_socket
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.loses_answers = False
        """Whether the next thing that the server says is lost, together with its connection."""
        self.connections = 0
        """Connections made through it so far."""

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port: int = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """End every connection."""
        for writer in self._writers:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        server_reader, server_writer = await asyncio.open_unix_connection(self._server_socket)
        self._writers |= {writer, server_writer}
        for task in (self._ask(reader, server_writer), self._answer(server_reader, writer)):
            started = asyncio.create_task(task)
            self._tasks.add(started)

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self.loses_answers:
                self.loses_answers = False
                writer.transport.abort()
                return
            writer.write(data)
        writer.close()
