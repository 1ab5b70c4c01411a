"""The HTTP server: uvicorn, and a stop that ends streams before it tears down what they need."""

import asyncio
import gc
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import structlog
import uvicorn
from starlette.types import ASGIApp

from adapters.access.protocol import bounded_protocol
from adapters.access.websocket import WebSocketProtocol
from adapters.app import Gateway
from adapters.database.starting import require_schema
from adapters.keys.starting import require_a_key
from adapters.observability import logs
from adapters.settings import BadSettings, ServerSettings, Settings

_log = structlog.get_logger(__name__)
_KEEP_ALIVE_SECONDS = (
    75  # longer than clients and proxies keep theirs, so that none meets a closed connection
)
_HASTE_SECONDS = 2  # after the drain, how long uvicorn waits for connections before it cancels them


class Server(uvicorn.Server):
    """uvicorn waits for connections before it tears the application down, and an endless stream never ends by
    itself. So streams are ended first, while the log still takes their records."""

    def __init__(
        self, config: uvicorn.Config, gateway: Gateway, admin: "AdminServer", send_buffer_bytes: int
    ) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._admin = admin
        self._send_buffer_bytes = send_buffer_bytes

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            for one in server.sockets:
                # Every connection inherits it. The system's own limit is megabytes for each client that does not read.
                one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._send_buffer_bytes)
                _log.info("listening", event_key="listening", address=one.getsockname()[:2])
        self._admin.start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        _log.info("stopping", event_key="stopping")
        await self._gateway.end_streams()
        await self._admin.end()
        await super().shutdown(sockets)
        _log.info("stopped", event_key="stopped")


class AdminServer(uvicorn.Server):
    """The second listener, beside the first. Signals are the first one's."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        super().__init__(config)
        self._listener = listener
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to answer."""
        self._task = asyncio.create_task(self.serve([self._listener]), name="admin server")
        _log.info("listening", event_key="admin_listening", address=self._listener.getsockname()[:2])

    async def end(self) -> None:
        """Answer no more."""
        self.should_exit = True
        if self._task is not None:
            await self._task

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run() -> None:
    """Run the gateway until it is told to stop. Ends the process with 2 if the settings cannot be used."""
    logs.configure(service="gateway")
    try:
        settings = Settings.read()
        asyncio.run(_may_start(settings))
        gateway = Gateway(settings)
        listener = _listener(settings.admin_server)
    except BadSettings as problem:
        print(f"The gateway cannot start:\n{problem}", file=sys.stderr)
        raise SystemExit(2) from None
    _collect_seldom()
    admin = AdminServer(_config(gateway.admin, settings.admin_server, lifespan="off"), listener)
    config = _config(gateway.asgi, settings.server, lifespan="on")
    Server(config, gateway, admin, settings.server.send_buffer_bytes).run()


async def _may_start(settings: Settings) -> None:
    await require_schema(settings.log)
    await require_a_key(settings)


def _config(
    application: ASGIApp, settings: ServerSettings, *, lifespan: Literal["on", "off"]
) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        host=settings.host,
        port=settings.port,
        loop="auto",  # uvloop, but on Windows, which has none
        http=bounded_protocol(settings),
        ws=WebSocketProtocol,
        log_config=None,
        log_level="warning",  # what uvicorn says of each websocket quotes its address, and so what was asked
        access_log=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_HASTE_SECONDS,
        server_header=False,
        date_header=False,
        ws_max_size=64 * 1024,
        lifespan=lifespan,
    )


def _listener(settings: ServerSettings) -> socket.socket:
    """The second listener's socket.

    Raises:
        BadSettings: it cannot be had.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        raise BadSettings(
            f"ZEPHYR_ADMIN_PORT: {settings.port} on {settings.host} cannot be used ({error.strerror})"
        ) from None


def _collect_seldom() -> None:
    """Look for garbage in cycles less often, and never in what is there from the start.

    Requests leave next to none, and looking after every 700 new objects takes a tenth of a request's time.
    """
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
