"""The real gateway as a process of its own, and the plain HTTP that tests speak with it."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import openai

ROOT = Path(__file__).parents[2]
_START_SECONDS = 30.0
INSIDE = ("/secret", "/usr/", "0x7f", "Traceback", "127.0.0.1", "scripted-model", "uvicorn")
"""Texts that only the inside knows, and that no client may be told."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error in it, which has OpenAI's members and no others."""
        envelope = self.json
        assert list(envelope) == ["error"], envelope
        error: dict[str, Any] = envelope["error"]
        assert set(error) == {"message", "type", "param", "code"}, error
        assert error["message"], error
        return error


class Gateway:
    """`python -m adapters` on a free port. As a context manager it is ready inside and gone afterwards."""

    def __init__(self, log: Path, **environment: str) -> None:
        """`environment` holds settings by their variables' names; the rest is as bare as it can be."""
        self.port, self.admin_port = free_port(), free_port()
        self.log = log
        self.arguments: list[str] = []
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(log.parent),
            "ZEPHYR_PORT": str(self.port),
            "ZEPHYR_ADMIN_PORT": str(self.admin_port),
            "ZEPHYR_ENGINE_PROBE_SECONDS": "0.1",
            "ZEPHYR_HOME": str(log.parent),
        } | environment
        self.process: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_until_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.kill()

    def start(self) -> None:
        """Start the process, and do not wait."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "adapters", *self.arguments],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """Kill it with a signal that it cannot catch."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> None:
        """Ask it to stop, and do not wait."""
        self.process.send_signal(signal.SIGTERM)

    def wait_until_alive(self) -> None:
        """Wait until it answers."""
        self._wait_for("/healthz")

    def wait_until_ready(self, seconds: float = _START_SECONDS) -> None:
        """Wait until it can take a generation."""
        self._wait_for("/readyz", seconds=seconds)

    def wait_until_unready(self, seconds: float = 5.0) -> None:
        """Wait until it says that it cannot take a generation."""
        self._wait_for("/readyz", status=503, seconds=seconds)

    def memory_bytes(self) -> int:
        """The memory that the process holds now."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log_text(self) -> str:
        return self.log.read_text(errors="replace")

    def get(self, path: str, **headers: str) -> Answer:
        return self.request("GET", path, None, headers)

    def post(self, path: str, body: Mapping[str, object] | bytes, **headers: str) -> Answer:
        return self.request("POST", path, body, headers)

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | bytes | None,
        headers: Mapping[str, str] | None = None,
        *,
        port: int | None = None,
    ) -> Answer:
        """Ask, and read the whole answer; a body that is a mapping goes as JSON."""
        with self.opened(method, path, body, headers, port=port) as response:
            answer_headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(status=response.status, headers=answer_headers, body=response.read())

    @contextmanager
    def opened(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | bytes | None,
        headers: Mapping[str, str] | None = None,
        *,
        port: int | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        """Ask, and leave the answer to be read; the connection is closed at the end."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=30)
        sent = dict(headers or {})
        if isinstance(body, Mapping):
            body = json.dumps(body).encode()
            sent.setdefault("content-type", "application/json")
        try:
            connection.request(method, path, body, sent)
            with connection.getresponse() as response:
                yield response
        finally:
            connection.close()

    def openai(self, key: str = "none") -> openai.OpenAI:
        """An unmodified SDK client that does not try again."""
        return openai.OpenAI(base_url=self.url + "/v1", api_key=key, max_retries=0, timeout=30)

    def admin(
        self, method: str, path: str, body: Mapping[str, object] | None = None, **headers: str
    ) -> Answer:
        """Ask the second listener."""
        return self.request(method, path, body, headers, port=self.admin_port)

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def send(self, body: Mapping[str, object], path: str = "/v1/chat/completions") -> socket.socket:
        """Send a request over a connection of its own, and leave everything else to the caller."""
        content = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            f"content-length: {len(content)}\r\n\r\n"
        )
        one = self.connect()
        one.sendall(head.encode() + content)
        return one

    def _wait_for(self, path: str, *, status: int = 200, seconds: float = _START_SECONDS) -> None:
        limit = time.monotonic() + seconds
        while True:
            try:
                if self.get(path).status == status:
                    return
            except OSError:
                pass  # not listening yet
            if self.process.poll() is not None or time.monotonic() > limit:
                raise AssertionError(
                    f"the gateway's {path} did not become {status}:\n{self.log_text[-4000:]}"
                )
            time.sleep(0.02)


def chat(text: str = "hello", /, **fields: object) -> dict[str, object]:
    """The body of a chat request."""
    return {"model": "zephyr-7b-beta", "messages": [{"role": "user", "content": text}]} | fields


def read_until(one: socket.socket, wanted: bytes) -> bytes:
    """What comes until `wanted` has come."""
    got = b""
    while wanted not in got:
        piece = one.recv(65536)
        if not piece:
            raise AssertionError(f"the connection ended before {wanted!r}: {got[-500:]!r}")
        got += piece
    return got


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def seen_text(body: bytes) -> tuple[str, list[dict[str, Any]]]:
    """The text that a client has read of a stream, and the errors in it; HTTP's own lines are passed over."""
    text, errors = "", []
    for line in body.split(b"\n"):
        if line.startswith(b"data: {"):
            data = json.loads(line.removeprefix(b"data: "))
            if "error" in data:
                errors.append(data["error"])
            else:
                text += "".join(choice["delta"].get("content") or "" for choice in data["choices"])
    return text, errors
