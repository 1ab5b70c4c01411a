"""uvicorn's HTTP protocol with bounds on connections and on a request's head, refusing in the API's shape."""

import asyncio
from http import HTTPStatus

import uuid_utils
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from adapters.access.body import TooSlow
from adapters.access.gate import HeadTooLarge, RequestIds, respond
from adapters.errors import GatewayError, InvalidRequest, Overloaded
from adapters.settings import ServerSettings


def bounded_protocol(settings: ServerSettings) -> type[HttpToolsProtocol]:
    """The protocol for these settings. A head that ends is measured by the gate, one that does not is here."""

    class BoundedProtocol(HttpToolsProtocol):
        _head_bytes = 0
        _head_complete = False
        _head_timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own
            super().connection_made(transport)
            self._await_head()

        def data_received(self, data: bytes) -> None:
            if not self._head_complete:
                self._head_bytes += len(data)
            super().data_received(data)
            if self._head_bytes > settings.max_header_bytes:
                self._refuse(HeadTooLarge())
            elif self._head_bytes and self._head_timer is None:
                self._await_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

        def on_headers_complete(self) -> None:
            self._head_bytes = 0
            self._head_complete = True
            self._stop_waiting()
            if len(self.connections) > settings.max_connections:
                self.app = RequestIds(_crowded)
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            self._head_complete = False
            super().on_message_complete()

        def send_400_response(self, msg: str) -> None:
            self._refuse(InvalidRequest("This is not a valid HTTP request.", code="invalid_http"))

        def _await_head(self) -> None:
            self._head_timer = self.loop.call_later(settings.body_timeout, self._refuse, TooSlow())

        def _stop_waiting(self) -> None:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None

        def _refuse(self, error: GatewayError) -> None:
            if not self.transport.is_closing():
                self.transport.write(_answer(error))
                self.transport.close()

    return BoundedProtocol


def _answer(error: GatewayError) -> bytes:
    body = error.body()
    head = (
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nx-request-id: {uuid_utils.uuid7().hex}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body


async def _crowded(_: Scope, receive: Receive, send: Send) -> None:
    await respond(send, Overloaded(), closing=True)
