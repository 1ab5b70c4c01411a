"""A scripted engine: real HTTP/1.1 on a real socket, answering as vLLM 0.32 does, or broken as a script says.

It lives in a thread with a loop of its own, so that tests of either colour can drive it. It keeps every
generation that it was asked for, with what came and how it ended.
"""

import asyncio
import itertools
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.fakes import answers
from tests.fakes.answers import Json
from tests.fakes.connection import Connection
from tests.fakes.script import Script, Seen, refusal

__all__ = ["Script", "ScriptedEngine", "Seen", "refusal"]

_BACKLOG = 2048  # vLLM's, too: uvicorn's own


class ScriptedEngine:
    """One engine at one address: a free port of this machine, or a unix socket."""

    def __init__(
        self,
        socket_path: Path | None = None,
        *,
        model: str = answers.MODEL,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.host = host
        self.socket_path = socket_path
        self.model = model
        self.script = Script()
        self.scripts: dict[str, Script] = {}
        """Scripts for the requests whose last text is the key."""
        self.healthy = True
        self.hangs = False
        """Say nothing more of any generation, as an engine core that is stuck; all else is answered."""
        self.keeps_canaries_waiting = False
        self.canaries = 0
        """Questions of the gateway's own so far; `seen` has those of clients."""
        self.waiting = 0
        self.drops_reused_connections = False
        """Close a connection used a second time, unanswered, as a server does at its idle limit."""
        self.seen: list[Seen] = []
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self.metrics_page = b""
        self.readiness_page = b""
        """Of the router that it plays; an engine has none."""
        self.first_tokens = 0
        self.first_token_seconds = 0.0
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="scripted engine", daemon=True)
        self._server: asyncio.Server | None = None
        self._open: set[Connection] = set()
        self._numbers = itertools.count(1)

    @property
    def url(self) -> str:
        """Its address as ENGINE_URL has it."""
        return f"unix:{self.socket_path}" if self.socket_path else f"http://{self.host}:{self._port}"

    @property
    def connections(self) -> int:
        """Connections open now."""
        return len(self._open)

    @property
    def running(self) -> int:
        """Generations open now."""
        return sum(one.outcome == "open" for one in self.seen)

    def __enter__(self) -> Self:
        self._thread.start()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def start(self) -> None:
        """Listen; again at the same address after a stop."""
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()

    def stop(self) -> None:
        """Stop listening and break every connection, as a killed process does."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()

    def close_idle(self) -> None:
        """Close the connections on which nothing runs."""
        self._loop.call_soon_threadsafe(self._close_idle)

    def forget(self) -> None:
        """Forget the scripts and what was seen."""
        self.script, self.scripts, self.seen = Script(), {}, []
        self.healthy, self.waiting, self.drops_reused_connections = True, 0, False
        self.hangs, self.keeps_canaries_waiting, self.canaries = False, False, 0

    def wait_for(self, count: int, seconds: float = 5.0) -> list[Seen]:
        """Wait until so many generations have come, and return them.

        Raises:
            TimeoutError: when they do not.
        """
        limit = time.monotonic() + seconds
        while len(self.seen) < count:
            if time.monotonic() > limit:
                raise TimeoutError(f"{len(self.seen)} of {count} generations reached the engine")
            time.sleep(0.005)
        return self.seen

    def one(self, seconds: float = 5.0) -> Seen:
        """The only generation that has come."""
        (seen,) = self.wait_for(1, seconds)
        return seen

    def script_for(self, body: Json) -> Script:
        """The script of a request."""
        return self.scripts.get(answers.last_user_text(body), self.script)

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        if self.socket_path:
            self._server = await loop.create_unix_server(
                self._connect, str(self.socket_path), backlog=_BACKLOG
            )
        else:
            self._server = await loop.create_server(self._connect, self.host, self._port, backlog=_BACKLOG)
            self._port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        if self._server is None:
            return
        for _ in range(10):
            await asyncio.sleep(0.001)  # asyncio loses a connection that it is just accepting
        self._server.close()
        for seen in self.seen:
            seen.end("broken")
        tasks = [one.task for one in self._open if one.task]
        for one in list(self._open):
            one.reset()
        await asyncio.gather(*tasks)
        await self._server.wait_closed()
        self._server = None

    def _close_idle(self) -> None:
        for one in list(self._open):
            if one.idle:
                one.close()

    def _connect(self) -> asyncio.StreamReaderProtocol:
        connection = Connection(self, next(self._numbers))
        return asyncio.StreamReaderProtocol(connection.reader, connection.serve)

    def joined(self, connection: Connection) -> None:
        self._open.add(connection)

    def left(self, connection: Connection) -> None:
        self._open.discard(connection)
