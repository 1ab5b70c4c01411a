"""A network between the browser and the gateway, which can go away."""

import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self


class Wire:
    """Carries connections from a port of its own to the gateway's."""

    def __init__(self, port: int) -> None:
        self._to = ("127.0.0.1", port)
        self._open: list[socket.socket] = []
        self._away = threading.Event()
        self.url = ""
        """Where the gateway is for those who are behind the network."""

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, name="wire", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        self._cut()

    def lose(self, seconds: float) -> None:
        """Break every connection, and let none be made for a while."""
        self._away.set()
        self._cut()
        time.sleep(seconds)
        self._away.clear()

    def _cut(self) -> None:
        for one in self._open:
            with suppress(OSError):  # it has ended by itself
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open = []

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            try:
                if self._away.is_set():
                    raise ConnectionError
                server = socket.create_connection(self._to)
            except OSError:  # the gateway has gone
                client.close()
                continue
            self._open += [client, server]
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=_carry, args=(one, other), name="wire", daemon=True).start()


def _carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):  # cut
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
