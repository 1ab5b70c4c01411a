"""One connection of the scripted engine: HTTP/1.1 written by hand, so that it can be broken anywhere."""

import asyncio
import contextlib
import itertools
import json
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from tests.fakes import answers
from tests.fakes.answers import Asked, Json
from tests.fakes.script import Script, Seen

GENERATIONS = ("/v1/chat/completions", "/v1/completions")
_LOOK_AGAIN_SECONDS = 0.01


class Engine(Protocol):
    """What a connection needs to know of its engine, and tells it."""

    model: str
    healthy: bool
    hangs: bool
    keeps_canaries_waiting: bool
    canaries: int
    waiting: int
    drops_reused_connections: bool
    seen: list[Seen]
    prompt_tokens: int
    generation_tokens: int
    metrics_page: bytes
    readiness_page: bytes
    first_tokens: int
    first_token_seconds: float

    @property
    def running(self) -> int:
        """Generations open now."""

    def script_for(self, body: Json) -> Script:
        """The script of a request."""

    def joined(self, connection: "Connection") -> None:
        """A connection is open."""

    def left(self, connection: "Connection") -> None:
        """A connection is closed."""


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


class Connection:
    """One connection of the gateway: requests one after the other."""

    def __init__(self, engine: "Engine", number: int) -> None:
        self.engine = engine
        self.reader = _Reader()
        self.idle = True
        self.task: asyncio.Task[None] | None = None
        self.writer: asyncio.StreamWriter
        self.number = number

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer, self.task = writer, asyncio.current_task()
        self.engine.joined(self)
        try:
            await self._requests()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the gateway has left, or the engine is stopped: both are everyday
        finally:
            self.close()
            with contextlib.suppress(ConnectionError):
                await self.writer.wait_closed()
            self.engine.left(self)

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
                await self._reply(*self._answer(method, path, body))
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

    def _answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes, str]:
        engine = self.engine
        if (method, path) == ("POST", "/tokenize"):
            return 200, answers.compact(answers.tokenized(json.loads(body))), "application/json"
        if method != "GET":
            return 405, answers.compact({"detail": "Method Not Allowed"}), "application/json"
        match path:
            case "/health":
                return (200 if engine.healthy else 503), b"", "text/plain"
            case "/readiness":
                return 200, engine.readiness_page, "application/json"
            case "/v1/models":
                return 200, answers.compact(answers.models(engine.model)), "application/json"
            case "/tokenizer_info":
                return 200, answers.compact(answers.tokenizer_info()), "application/json"
            case "/metrics":
                return 200, self._metrics(), "text/plain; version=0.0.4"
            case _:
                return 404, answers.compact({"detail": "Not Found"}), "application/json"

    def _metrics(self) -> bytes:
        engine = self.engine
        if not engine.hangs or not engine.metrics_page:  # all of it is what the core last reported
            engine.metrics_page = answers.metrics(
                running=engine.running,
                waiting=engine.waiting,
                prompt_tokens=engine.prompt_tokens,
                generation_tokens=engine.generation_tokens,
                kv_usage=0.25,
                first_tokens=engine.first_tokens,
                first_token_seconds=engine.first_token_seconds,
            )
        return engine.metrics_page

    async def _reply(self, status: int, body: bytes, content_type: str) -> None:
        self.writer.write(
            _head(status, [("content-type", content_type), ("content-length", str(len(body)))]) + body
        )
        await self.writer.drain()

    async def _generate(self, path: str, headers: dict[str, str], body: bytes) -> None:
        seen = Seen(path=path, headers=headers, body=body, connection=self.number)
        if seen.canary:
            self.engine.canaries += 1
        else:
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
        script = Script() if seen.canary else self.engine.script_for(seen.json)
        asked = Asked(
            body=seen.json,
            chat=seen.path == "/v1/chat/completions",
            request_id=seen.headers.get("x-request-id", "unnamed"),
        )
        await asyncio.sleep(script.silence)
        await self._until_it_goes_on(seen)
        if script.raw is not None:
            for part in _torn([script.raw], script.cuts):
                await self._send(seen, part, part)
                await asyncio.sleep(script.pause)
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
                self.idle = True
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
        await self._until_it_goes_on(seen)
        self.writer.write(wire)
        seen.sent_bytes += len(content)
        await self.writer.drain()

    async def _until_it_goes_on(self, seen: Seen) -> None:
        while self.engine.hangs or (seen.canary and self.engine.keeps_canaries_waiting):
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    def _note_tokens(self, asked: Asked, script: Script) -> None:
        self.engine.prompt_tokens += asked.prompt_tokens
        self.engine.generation_tokens += len(script.pieces) * asked.choices
        self.engine.first_tokens += 1
        self.engine.first_token_seconds += script.silence + script.pause


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
