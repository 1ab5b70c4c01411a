"""uvicorn's HTTP protocol with bounds on connections, on a request's head and on its time, refusing in the API's shape."""

import asyncio
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any, cast

import httptools
import structlog
import uuid_utils
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from adapters.access.body import TooSlow
from adapters.access.gate import HeadTooLarge, RequestIds, respond
from adapters.errors import GatewayError, InvalidRequest, Overloaded
from adapters.settings import ServerSettings

_log = structlog.get_logger(__name__)
_MOST_UNTAKEN = 4 * 1024  # bytes that wait here for a slow client, beside what the system keeps for it
_MOST_WAITING = 64  # requests behind the one that is being answered on the same connection


def bounded_protocol(settings: ServerSettings) -> type[HttpToolsProtocol]:
    """The protocol for these settings. A head that ends is measured by the gate, one that does not is here."""

    class BoundedProtocol(HttpToolsProtocol):
        _unused_bytes = 0  # that came since the last piece of a body, or since the last request
        _head_complete = False
        _keep_alive = False
        _leaving = False
        _timer: asyncio.TimerHandle | None = None
        _taking: asyncio.TimerHandle | None = None
        _running: RequestResponseCycle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own
            super().connection_made(transport)
            transport.set_write_buffer_limits(high=_MOST_UNTAKEN)
            self._half = cast("asyncio.Transport", _Half(transport, self._leave))
            self._await_rest()

        def data_received(self, data: bytes) -> None:
            if self._leaving:
                return
            self._unset_keepalive_if_required()
            self._unused_bytes += len(data)
            try:
                self._parse(data)
            except httptools.HttpParserError:
                self._refuse(_not_http())
            if self._unused_bytes > settings.max_header_bytes:
                self._refuse(HeadTooLarge())
            elif self._timer is None and (self._head_complete or self._unused_bytes):
                self._await_rest()
            if self.pipeline:
                self._read_on()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            self._has_taken()
            self._tell_gone()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._await_taking()

        def resume_writing(self) -> None:
            super().resume_writing()
            if not self.transport.is_closing():
                self._has_taken()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self.transport.is_closing():
                self._await_taking()

        def timeout_keep_alive_handler(self) -> None:
            self._close()

        def on_url(self, url: bytes) -> None:
            if not self.url and url[:1] not in (b"/", b"*"):
                # Whole URLs name a server beside the `host` header, and one of the two would be overlooked.
                raise ValueError("this is no path")
            super().on_url(url)

        def on_header(self, name: bytes, value: bytes) -> None:
            if not self._head_complete:  # what comes after a body is for nobody
                super().on_header(name, value)

        def on_headers_complete(self) -> None:
            self._unused_bytes = 0
            if self._ignores_upgrade():
                return
            self._head_complete = True
            self._stop_waiting()
            crowded = len(self.connections) > settings.max_connections
            if crowded:
                self.app = RequestIds(_crowded)
            earlier = self.cycle
            super().on_headers_complete()
            if self.cycle is not earlier:
                # An answer that is given before the whole body has come is the last one on its connection.
                self._keep_alive, self.cycle.keep_alive = self.cycle.keep_alive, False
                self.cycle.transport = self.transport if crowded else self._half

        def on_body(self, body: bytes) -> None:
            self._unused_bytes = 0
            super().on_body(body)

        def on_message_complete(self) -> None:
            if self._ignores_upgrade():
                return
            self._unused_bytes = 0
            self._head_complete = False
            self._stop_waiting()
            super().on_message_complete()
            if self.cycle is not None and not self.cycle.response_started:
                self.cycle.keep_alive, self.cycle.transport = self._keep_alive, self.transport

        def handle_websocket_upgrade(self) -> None:
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > settings.max_header_bytes:
                self._refuse(HeadTooLarge())
            elif len(self.connections) > settings.max_connections:
                self._refuse(Overloaded())
            elif any(self._open()):
                self._refuse(_not_http())
            else:
                super().handle_websocket_upgrade()

        def shutdown(self) -> None:
            self._keep_alive = False
            super().shutdown()

        def _parse(self, data: bytes) -> None:
            rest = memoryview(data)
            while rest:
                try:
                    self.parser.feed_data(rest)
                    return
                except httptools.HttpParserUpgrade as upgrade:
                    if self._should_upgrade():
                        self.handle_websocket_upgrade()
                        return
                    if self.parser.get_method() == b"CONNECT":
                        self._refuse(_not_http())
                        return
                    # The parser would pass the body over: it gets the same head again, without the upgrade.
                    rest = rest[upgrade.args[0] :]
                    self.parser.feed_data(self._head_without_upgrade())

        def _ignores_upgrade(self) -> bool:
            return self.parser.should_upgrade() and not self._should_upgrade()

        def _head_without_upgrade(self) -> bytes:
            version = self.parser.get_http_version().encode()
            lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + version]
            lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
            return b"\r\n".join(lines) + b"\r\n\r\n"

        def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
            self._running = cycle
            super()._start_asgi_task(cycle, app)

        def _open(self) -> Iterator[RequestResponseCycle]:
            """The requests that have no whole answer yet."""
            if self._running is not None and not self._running.response_complete:
                yield self._running
            yield from (cycle for cycle, _ in self.pipeline)

        def _owes(self) -> bool:
            """Whether an answer must come before anything else can be said on this connection."""
            return any(cycle.response_started or not cycle.more_body for cycle in self._open())

        def _read_on(self) -> None:
            """uvicorn stops reading while requests wait, and would not see that their client leaves."""
            waiting = sum(len(cycle.body) for cycle, _ in self.pipeline)
            if len(self.pipeline) > _MOST_WAITING or waiting > settings.max_body_bytes:
                self.transport.abort()
            else:
                self.flow.resume_reading()

        def _await_rest(self) -> None:
            """Of a head, or of a body: most come whole, and cost no timer."""
            self._timer = self.loop.call_later(settings.body_timeout, self._rest_is_late)

        def _rest_is_late(self) -> None:
            if self._owes():
                self._await_rest()
            elif self._head_complete:
                self.transport.write(_answer(TooSlow()))
                self._tell_gone()
                self._leave()
            else:
                self._refuse(TooSlow())

        def _await_taking(self) -> None:
            """A client that takes nothing would hold its place, the engine's work and a connection for ever."""
            if self._taking is None:
                self._taking = self.loop.call_later(settings.send_timeout, self._takes_nothing)

        def _has_taken(self) -> None:
            if self._taking is not None:
                self._taking.cancel()
                self._taking = None

        def _takes_nothing(self) -> None:
            _log.info("a client took nothing of its answer and was cut off", event_key="client_stalled")
            self.transport.abort()

        def _tell_gone(self) -> None:
            """Tell every request that is open that its client has gone; uvicorn tells the newest only."""
            for cycle in self._open():
                cycle.disconnected = True
                cycle.message_event.set()

        def _stop_waiting(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _refuse(self, error: GatewayError) -> None:
            if self._owes():
                self.transport.abort()
            elif not self.transport.is_closing():
                self.transport.write(_answer(error))
                self._close()

        def _close(self) -> None:
            """Close once the client has taken what is on its way to it."""
            if not self.transport.is_closing():
                self.transport.close()
                self._await_taking()

        def _leave(self) -> None:
            """Say no more, and let the client finish: it would lose its answer if the connection were reset."""
            if not self.transport.is_closing():
                self._leaving = True
                self._stop_waiting()
                self.transport.write_eof()
                self._timer = self.loop.call_later(settings.body_timeout, self._close)

    return BoundedProtocol


class _Half:
    """A transport as far as an answer uses it, to be closed in a way of its own."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close


def _not_http() -> InvalidRequest:
    return InvalidRequest("This is not a valid HTTP request.", code="invalid_http")


def _answer(error: GatewayError) -> bytes:
    body = error.body()
    lines = [
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}".encode(),
        b"content-type: application/json",
        b"content-length: %d" % len(body),
        b"x-request-id: " + uuid_utils.uuid7().hex.encode(),
        *(name + b": " + value for name, value in error.headers()),
        b"connection: close",
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def _crowded(_: Scope, receive: Receive, send: Send) -> None:
    await respond(send, Overloaded(), closing=True)
