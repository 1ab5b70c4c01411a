"""A network between the browser and the gateway, which can go away."""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self


class Wire:
    """Carries connections from a port of its own to the gateway's."""

    def __init__(self, port: int) -> None:
        self._to = ("127.0.0.1", port)
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._away = threading.Event()
        self.url = ""
        """Where the gateway is for those who are behind the network."""

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._accepting = self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _end(self._listener)  # closing alone wakes nobody who waits
        self._accepting.join()
        self._cut()
        for thread in self._threads:
            thread.join()
        for one in (self._listener, *self._sockets):
            one.close()

    def lose(self, seconds: float) -> None:
        """Break every connection, and let none be made for a while."""
        self._away.set()
        self._cut()
        time.sleep(seconds)
        self._away.clear()

    def _cut(self) -> None:
        for one in list(self._sockets):
            _end(one)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # ended
            self._sockets.append(client)
            try:
                if self._away.is_set():
                    raise ConnectionError
                server = socket.create_connection(self._to)
            except OSError:  # the network, or the gateway, is away
                _end(client)
                continue
            self._sockets.append(server)
            self._start(_carry, client, server)
            self._start(_carry, server, client)

    def _start(self, work: Callable[..., None], *arguments: socket.socket) -> threading.Thread:
        thread = threading.Thread(target=work, args=arguments, name="wire", daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread


def _carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):  # cut
        while data := source.recv(65536):
            target.sendall(data)
    _end(target)


def _end(one: socket.socket) -> None:
    with suppress(OSError):  # it has ended by itself
        one.shutdown(socket.SHUT_RDWR)
