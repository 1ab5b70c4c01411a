"""The HTTP server: uvicorn, with bounded heads, and a stop that ends streams before it tears down what they need."""

import socket
import sys

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from adapters.app import Gateway
from adapters.observability import logs
from adapters.settings import BadSettings, Settings

_KEEP_ALIVE_SECONDS = (
    75  # longer than clients and proxies keep theirs, so that none meets a closed connection
)
_HASTE_SECONDS = 2  # after the drain, how long uvicorn waits for connections before it cancels them


class Server(uvicorn.Server):
    """uvicorn waits for connections before it tears the application down, and an endless stream never ends by
    itself. So streams are ended first, while the log still takes their records."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway) -> None:
        super().__init__(config)
        self._gateway = gateway

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._gateway.end_streams()
        await super().shutdown(sockets)


def bounded_protocol(max_header_bytes: int) -> type[HttpToolsProtocol]:
    """uvicorn's HTTP protocol with a limit on a head that does not end; one that ends is measured by the gate."""

    class BoundedProtocol(HttpToolsProtocol):
        head_bytes = 0
        head_complete = False

        def data_received(self, data: bytes) -> None:
            if not self.head_complete:
                self.head_bytes += len(data)
            super().data_received(data)
            if not self.head_complete and self.head_bytes > max_header_bytes:
                self._refuse()

        def on_headers_complete(self) -> None:
            self.head_bytes = 0
            self.head_complete = True
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            self.head_complete = False
            super().on_message_complete()

        def _refuse(self) -> None:
            if not self.transport.is_closing():
                self.transport.write(_HEAD_TOO_LARGE)
                self.transport.close()

    return BoundedProtocol


_HEAD_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"
    b'{"error": {"message": "The request\'s headers are too large.", "type": "invalid_request_error", '
    b'"param": null, "code": "headers_too_large"}}'
)


def run() -> None:
    """Run the gateway until it is told to stop. Ends the process with 2 if the settings cannot be used."""
    logs.configure()
    try:
        settings = Settings.read()
        gateway = Gateway(settings)
    except BadSettings as problem:
        print(f"The gateway cannot start:\n{problem}", file=sys.stderr)
        raise SystemExit(2) from None
    config = uvicorn.Config(
        gateway.asgi,
        host=settings.server.host,
        port=settings.server.port,
        loop="uvloop",
        http=bounded_protocol(settings.server.max_header_bytes),
        log_config=None,
        access_log=False,
        limit_concurrency=settings.server.max_connections,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_HASTE_SECONDS,
        server_header=False,
        date_header=False,
        ws_max_size=64 * 1024,
    )
    Server(config, gateway).run()
