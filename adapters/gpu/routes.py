"""The statistics: live over a websocket, and once."""

import asyncio
from contextlib import aclosing, suppress

from fastapi import APIRouter, Response, WebSocket, WebSocketDisconnect

from adapters.access.callers import SUBPROTOCOL
from adapters.access.gate import check_origin
from adapters.errors import GatewayError
from adapters.gpu.sampler import Sampler
from adapters.gpu.schemas import Stats
from adapters.settings import ServerSettings

LIVE_PATH = "/zephyr/ws/gpu-stats"
LIVE_SUMMARY = "GPU and engine statistics, live"
_GOING_AWAY = 1001


def once_routes(sampler: Sampler) -> APIRouter:
    """The route of whoever asks."""
    router = APIRouter(tags=["Statistics"])

    @router.get("/zephyr/gpu-stats", summary="GPU and engine statistics, once")
    async def gpu_stats() -> Stats:
        """What `ws://…/zephyr/ws/gpu-stats` sends about once a second."""
        return await sampler.once()

    return router


def routes(sampler: Sampler, server: ServerSettings) -> APIRouter:
    """The routes, over one sampler."""
    router = once_routes(sampler)

    @router.websocket(LIVE_PATH)
    async def live_gpu_stats(socket: WebSocket) -> None:
        try:
            check_page(socket, server.allowed_origins)
            sampler.check_room()
        except GatewayError as error:
            headers = {name.decode(): value.decode() for name, value in error.headers()}
            await socket.send_denial_response(
                Response(error.body(), error.status, headers, "application/json")
            )
            return
        await socket.accept(SUBPROTOCOL if SUBPROTOCOL in socket.scope["subprotocols"] else None)
        await serve(socket, sampler)

    return router


def check_page(socket: WebSocket, allowed_origins: tuple[str, ...]) -> None:
    """Refuse a foreign page: a browser lets any page open a websocket, and only says which one it was.

    Raises:
        Forbidden: it is foreign.
    """
    origin = socket.headers.get("origin")
    if origin is not None:
        scheme = "https" if socket.url.scheme == "wss" else "http"
        check_origin(origin, f"{scheme}://{socket.headers.get('host')}", allowed_origins)


async def serve(socket: WebSocket, sampler: Sampler) -> None:
    """Send statistics until one of both ends it. Leaves nothing behind."""
    sending = asyncio.create_task(_send(socket, sampler), name="gpu socket")
    leaving = asyncio.create_task(_left(socket), name="gpu socket's end")
    try:
        await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not leaving.done():
            with suppress(WebSocketDisconnect):
                await socket.close(_GOING_AWAY)
    finally:
        sending.cancel()
        leaving.cancel()
        await asyncio.gather(sending, leaving, return_exceptions=True)


async def _send(socket: WebSocket, sampler: Sampler) -> None:
    with suppress(WebSocketDisconnect):
        async with aclosing(sampler.watch()) as watching:
            async for stats in watching:
                await socket.send_text(stats.model_dump_json())


async def _left(socket: WebSocket) -> None:
    """Wait for the client to leave; what it sends means nothing."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        continue
