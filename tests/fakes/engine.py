"""A scripted engine: real HTTP/1.1 on a real socket, answering as vLLM 0.32 does, or broken as a script says.

It lives in a thread with a loop of its own, so that tests of either colour can drive it. It keeps every
generation that it was asked for, with what came and how it ended.
"""

import asyncio
import contextlib
import itertools
import json
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from tests.fakes import answers
from tests.fakes.answers import Asked, Json, ToolCall

GENERATIONS = ("/v1/chat/completions", "/v1/completions")


@dataclass(frozen=True, kw_only=True)
class Script:
    """How the engine answers one generation; the default is a short answer that is well in every way."""

    pieces: Sequence[str] = ("Hello", ", ", "world", ".")
    """The text, a token each."""
    finish_reason: str = "stop"
    tool_calls: Sequence[ToolCall] = ()
    """What the model asks for instead of saying something."""
    cached_tokens: int = 0

    status: int = 200
    body: bytes | None = None
    """The exact body of an answer that does not stream, instead of vLLM's."""
    events: Iterable[bytes] | None = None
    """The exact events of a stream, instead of vLLM's."""
    raw: bytes | None = None
    """The exact bytes of the whole answer, status line included."""

    silence: float = 0.0
    """Seconds before the status line."""
    pause: float = 0.0
    """Seconds before each event."""
    cuts: Sequence[int] = ()
    """Offsets in a stream at which it is torn into chunks and packets, instead of after each event."""

    stop_after: int | None = None
    """Events (of a stream) or bytes (of a plain body) that are sent before the ending; None sends all."""
    ending: Literal["whole", "close", "reset", "hang"] = "whole"
    """Ended as HTTP wants, closed or reset without that, or silent for ever."""


def refusal(status: int, message: str, *, type: str = "BadRequestError", param: str | None = None) -> Script:
    """A script that refuses in vLLM's shape."""
    return Script(status=status, body=answers.compact(answers.error(status, message, type=type, param=param)))


@dataclass(kw_only=True)
class Seen:
    """A generation that reached the engine."""

    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    arrived: float = field(default_factory=time.monotonic)
    sent_bytes: int = 0
    """Bytes of the answer's body given to the socket so far."""
    outcome: Literal["open", "completed", "aborted", "broken"] = "open"
    """`aborted` when the gateway closed the connection, `broken` when the script did."""
    ended: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)

    @property
    def json(self) -> Json:
        loaded: Json = json.loads(self.body)
        return loaded

    def end(self, outcome: Literal["completed", "aborted", "broken"]) -> None:
        """Note how it ended; the first ending counts."""
        if self.outcome == "open":
            self.outcome, self.ended = outcome, time.monotonic()
            self._over.set()

    def wait(self, seconds: float = 5.0) -> str:
        """Wait for the end and return the outcome, `open` if it has not come by then."""
        self._over.wait(seconds)
        return self.outcome


class ScriptedEngine:
    """One engine at one address: a free port of this machine, or a unix socket."""

    def __init__(self, socket_path: Path | None = None, *, model: str = answers.MODEL) -> None:
        self.socket_path = socket_path
        self.model = model
        self.script = Script()
        self.scripts: dict[str, Script] = {}
        """Scripts for the requests whose last text is the key."""
        self.healthy = True
        self.waiting = 0
        self.drops_reused_connections = False
        """Close a connection used a second time, unanswered, as a server does at its idle limit."""
        self.seen: list[Seen] = []
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self._port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="scripted engine", daemon=True)
        self._server: asyncio.Server | None = None
        self._open: set[_Connection] = set()
        self._numbers = itertools.count(1)

    @property
    def url(self) -> str:
        """Its address as ENGINE_URL has it."""
        return f"unix:{self.socket_path}" if self.socket_path else f"http://127.0.0.1:{self._port}"

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
            self._server = await loop.create_unix_server(self._connect, str(self.socket_path))
        else:
            self._server = await loop.create_server(self._connect, "127.0.0.1", self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        if self._server is None:
            return
        self._server.close()
        await asyncio.sleep(0.01)  # lets connections that are just being accepted come in
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
        connection = _Connection(self, next(self._numbers))
        return asyncio.StreamReaderProtocol(connection.reader, connection.serve)

    def _joined(self, connection: "_Connection") -> None:
        self._open.add(connection)

    def _left(self, connection: "_Connection") -> None:
        self._open.discard(connection)


class _Reader(asyncio.StreamReader):
    """A reader that tells at once when the other side has gone."""

    def __init__(self) -> None:
        super().__init__(limit=2**20)
        self.gone = asyncio.Event()

    def feed_eof(self) -> None:
        super().feed_eof()
        self.gone.set()

    def set_exception(self, exc: Exception) -> None:
        super().set_exception(exc)
        self.gone.set()


class _Connection:
    """One connection of the gateway: requests one after the other."""

    def __init__(self, engine: ScriptedEngine, number: int) -> None:
        self.engine = engine
        self.reader = _Reader()
        self.idle = True
        self.task: asyncio.Task[None] | None = None
        self.writer: asyncio.StreamWriter
        self.number = number

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer, self.task = writer, asyncio.current_task()
        self.engine._joined(self)
        try:
            await self._requests()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the gateway has left, or the engine is stopped: both are everyday
        finally:
            self.close()
            with contextlib.suppress(ConnectionError):
                await self.writer.wait_closed()
            self.engine._left(self)

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """End the connection with a reset where the socket has such a thing."""
        sock: socket.socket = self.writer.get_extra_info("socket")
        if sock.family == socket.AF_INET and not self.writer.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def _requests(self) -> None:
        used = False
        while request := await self._read():
            method, path, headers, body = request
            self.idle = False
            if path not in GENERATIONS:
                await self._reply(*self._answer(method, path))
            elif used and self.engine.drops_reused_connections:
                return
            else:
                await self._generate(path, headers, body)
            used = True
            self.idle = True
            if self.writer.is_closing():
                return

    async def _read(self) -> tuple[str, str, dict[str, str], bytes] | None:
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        method, path, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
        return method, path, headers, await self.reader.readexactly(int(headers.get("content-length", 0)))

    def _answer(self, method: str, path: str) -> tuple[int, bytes, str]:
        engine = self.engine
        if method != "GET":
            return 405, answers.compact({"detail": "Method Not Allowed"}), "application/json"
        match path:
            case "/health":
                return (200 if engine.healthy else 503), b"", "text/plain"
            case "/v1/models":
                return 200, answers.compact(answers.models(engine.model)), "application/json"
            case "/tokenizer_info":
                return 200, answers.compact(answers.tokenizer_info()), "application/json"
            case "/metrics":
                return 200, self._metrics(), "text/plain; version=0.0.4"
            case _:
                return 404, answers.compact({"detail": "Not Found"}), "application/json"

    def _metrics(self) -> bytes:
        return answers.metrics(
            running=self.engine.running,
            waiting=self.engine.waiting,
            prompt_tokens=self.engine.prompt_tokens,
            generation_tokens=self.engine.generation_tokens,
            kv_usage=0.25,
        )

    async def _reply(self, status: int, body: bytes, content_type: str) -> None:
        self.writer.write(
            _head(status, [("content-type", content_type), ("content-length", str(len(body)))]) + body
        )
        await self.writer.drain()

    async def _generate(self, path: str, headers: dict[str, str], body: bytes) -> None:
        seen = Seen(path=path, headers=headers, body=body, connection=self.number)
        self.engine.seen.append(seen)
        answering = asyncio.create_task(self._play(seen))
        leaving = asyncio.create_task(self.reader.gone.wait())
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                raise ConnectionResetError
            answering.result()
        except ConnectionError:
            seen.end("aborted")
            raise
        finally:
            answering.cancel()
            leaving.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)

    async def _play(self, seen: Seen) -> None:
        script = self.engine.script_for(seen.json)
        asked = Asked(
            body=seen.json,
            chat=seen.path == "/v1/chat/completions",
            request_id=seen.headers.get("x-request-id", "unnamed"),
        )
        await asyncio.sleep(script.silence)
        if script.raw is not None:
            await self._send(seen, script.raw, script.raw)
        elif asked.stream and script.status == 200 and script.body is None:
            await self._stream(seen, asked, script)
        else:
            await self._plain(seen, asked, script)
        await self._end(seen, script)

    async def _plain(self, seen: Seen, asked: Asked, script: Script) -> None:
        body = script.body
        if body is None:
            whole = answers.plain(
                asked, script.pieces, script.finish_reason, script.tool_calls, script.cached_tokens
            )
            body = answers.compact(whole)
            self._note_tokens(asked, script)
        headers = [("content-type", "application/json"), ("content-length", str(len(body)))]
        await self._send(seen, _head(script.status, headers), b"")
        sent = body[: script.stop_after]
        await self._send(seen, sent, sent)

    async def _stream(self, seen: Seen, asked: Asked, script: Script) -> None:
        headers = [("content-type", "text/event-stream; charset=utf-8"), ("transfer-encoding", "chunked")]
        await self._send(seen, _head(200, headers), b"")
        events = script.events
        if events is None:
            events = answers.events(
                asked, script.pieces, script.finish_reason, script.tool_calls, script.cached_tokens
            )
            self._note_tokens(asked, script)
        for number, part in enumerate(_torn(events, script.cuts) if script.cuts else events):
            if number == script.stop_after:
                return
            await asyncio.sleep(script.pause or (0.001 if script.cuts else 0))
            await self._send(seen, b"%x\r\n%b\r\n" % (len(part), part), part)
        if script.ending == "whole":
            await self._send(seen, b"0\r\n\r\n", b"")

    async def _end(self, seen: Seen, script: Script) -> None:
        match script.ending:
            case "whole":
                seen.end("completed")
            case "hang":
                await asyncio.Event().wait()
            case "close":
                seen.end("broken")
                self.close()
            case "reset":
                seen.end("broken")
                self.reset()

    async def _send(self, seen: Seen, wire: bytes, content: bytes) -> None:
        self.writer.write(wire)
        seen.sent_bytes += len(content)
        await self.writer.drain()

    def _note_tokens(self, asked: Asked, script: Script) -> None:
        self.engine.prompt_tokens += asked.prompt_tokens
        self.engine.generation_tokens += len(script.pieces) * asked.choices


def _head(status: int, headers: list[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status} Scripted", "server: uvicorn"] + [
        f"{name}: {value}" for name, value in headers
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _torn(events: Iterable[bytes], cuts: Sequence[int]) -> Iterator[bytes]:
    """The same bytes in parts that end at the given offsets."""
    whole = b"".join(events)
    edges = [0, *sorted(cut for cut in set(cuts) if 0 < cut < len(whole)), len(whole)]
    for start, end in itertools.pairwise(edges):
        yield whole[start:end]
