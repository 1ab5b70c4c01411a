"""The HTTP server: uvicorn, and a stop that ends streams before it tears down what they need."""

import gc
import socket
import sys

import structlog
import uvicorn

from adapters.access.protocol import bounded_protocol
from adapters.access.websocket import WebSocketProtocol
from adapters.app import Gateway
from adapters.observability import logs
from adapters.settings import BadSettings, Settings

_log = structlog.get_logger(__name__)
_KEEP_ALIVE_SECONDS = (
    75  # longer than clients and proxies keep theirs, so that none meets a closed connection
)
_HASTE_SECONDS = 2  # after the drain, how long uvicorn waits for connections before it cancels them


class Server(uvicorn.Server):
    """uvicorn waits for connections before it tears the application down, and an endless stream never ends by
    itself. So streams are ended first, while the log still takes their records."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway, send_buffer_bytes: int) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._send_buffer_bytes = send_buffer_bytes

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            for one in server.sockets:
                # Every connection inherits it. The system's own limit is megabytes for each client that does not read.
                one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._send_buffer_bytes)
                _log.info("listening", event_key="listening", address=one.getsockname()[:2])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        _log.info("stopping", event_key="stopping")
        await self._gateway.end_streams()
        await super().shutdown(sockets)
        _log.info("stopped", event_key="stopped")


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
        loop="auto",  # uvloop, but on Windows, which has none
        http=bounded_protocol(settings.server),
        ws=WebSocketProtocol,
        log_config=None,
        log_level="warning",  # what uvicorn says of each websocket quotes its address, and so what was asked
        access_log=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_HASTE_SECONDS,
        server_header=False,
        date_header=False,
        ws_max_size=64 * 1024,
    )
    _collect_seldom()
    Server(config, gateway, settings.server.send_buffer_bytes).run()


def _collect_seldom() -> None:
    """Look for garbage in cycles less often, and never in what is there from the start.

    Requests leave next to none, and looking after every 700 new objects takes a tenth of a request's time.
    """
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
