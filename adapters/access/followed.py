"""What each request leaves behind: its id on every line of log, a line of its own, and a trace where there are traces."""

import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapters.access.gate import request_id
from adapters.observability import requests

if TYPE_CHECKING:
    from adapters.observability.traces import Tracing

_log = structlog.get_logger(__name__)
_READING = ("GET", "HEAD", "OPTIONS")
_PROBES = ("/healthz", "/readyz")
_CRASHED, _LEFT = 500, 499


class Followed:
    """Lets nothing of a client's own into log or trace: no address but the route's, no header, no body."""

    def __init__(self, app: ASGIApp, tracing: "Tracing | None" = None) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        reading = scope["type"] != "http" or scope["method"] in _READING
        trace = None
        if self._tracing is not None and not reading:
            trace = self._tracing.begin(scope["method"], scope["headers"])
        request = requests.begin(request_id(scope).bytes.hex(), trace)
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), _LEFT

        def send_noting(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            return send(message)

        try:
            requests.enter("identify")
            await self._app(scope, receive, send_noting)
        except Exception:
            status = _CRASHED
            raise
        finally:
            if not reading or (status >= 400 and scope["path"] not in _PROBES):
                _tell(scope, request, status, (time.monotonic() - began) * 1000)


def _tell(scope: Scope, request: requests.Request, status: int, milliseconds: float) -> None:
    endpoint = _endpoint(scope)
    caller = scope.get("zephyr.caller")
    _log.info(
        "request",
        event_key="request",
        method=scope["method"],
        endpoint=endpoint,
        status=status,
        ms=round(milliseconds, 1),
        outcome=request.outcome,
        tenant=caller.tenant if caller is not None else None,
    )
    if request.trace is not None:
        attributes: dict[str, str | int] = {
            "http.response.status_code": status,
            "zephyr.request_id": request.name,
        }
        if request.outcome is not None:
            attributes["zephyr.outcome"] = request.outcome
        failed = status >= 500 or request.outcome == "failed"
        request.trace.end(
            attributes, endpoint=endpoint, error=(request.outcome or str(status)) if failed else None
        )


def _endpoint(scope: Scope) -> str | None:
    """The route as the documentation has it: what a client makes of an address may hold anything."""
    path: str | None = scope.get("zephyr.endpoint")
    return path or getattr(scope.get("route"), "path", None)
