"""Asking a server on a socket: plain HTTP over TCP or a unix socket, blocking, with a timeout."""

import asyncio
import http.client
import json
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

PROBE_SECONDS = 2.0


class NoAnswer(Exception):
    """The server does not answer."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A whole answer."""

    status: int
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask(url: str, path: str, body: object = None, *, timeout: float = PROBE_SECONDS) -> Answer:
    """One request to `http://host:port` or `unix:/path`: a GET, or a POST where there is a body.

    Raises:
        NoAnswer: nothing answers there, or not within `timeout` seconds.
    """
    connection = _connection(url, timeout)
    try:
        headers = {} if body is None else {"Content-Type": "application/json"}
        content = None if body is None else json.dumps(body)
        connection.request("GET" if body is None else "POST", path, content, headers)
        response = connection.getresponse()
        return Answer(status=response.status, body=response.read())
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(f"{type(error).__name__}: {error}") from error
    finally:
        connection.close()


def _connection(url: str, timeout: float) -> http.client.HTTPConnection:
    if url.startswith("unix:"):
        return UnixConnection(url.removeprefix("unix:"), timeout)
    parts = urlsplit(url)
    return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)


async def until_well(url: str, path: str, *, every: float) -> None:
    """Wait until a GET is answered with 200; whoever waits sets the limit."""
    while not await asyncio.to_thread(is_well, url, path):  # noqa: ASYNC110
        await asyncio.sleep(every)


def is_well(url: str, path: str) -> bool:
    try:
        return ask(url, path).status == http.client.OK
    except NoAnswer:
        return False
