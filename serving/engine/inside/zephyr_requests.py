"""Runs inside vLLM's server (`--middleware`): a line of log for each request that has an id, without what was said.

vLLM's own `--enable-log-requests` writes down what clients ask for, and prompts where its level is DEBUG; without it
no line of its log names a request. This folder holds nothing else, since it is on the path of vLLM's Python.
"""

import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any

_Message = MutableMapping[str, Any]
_LONGEST_ID = 64
_NO_STATUS = 0  # the gateway left before there was one


class RequestLines:
    """Tells of each request when it has been answered."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(
        self,
        scope: _Message,
        receive: Callable[[], Awaitable[_Message]],
        send: Callable[[_Message], Awaitable[None]],
    ) -> None:
        headers = dict(scope.get("headers", ()))
        request_id = headers.get(b"x-request-id", b"").decode("latin-1")
        if scope["type"] != "http" or not _is_id(request_id):
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), _NO_STATUS

        def send_noting(message: _Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            return send(message)

        try:
            await self._app(scope, receive, send_noting)
        finally:
            seconds = time.monotonic() - began
            trace = headers.get(b"traceparent", b"").decode("latin-1")
            print(line(request_id, scope["path"], status, seconds, trace), flush=True)


def line(request_id: str, path: str, status: int, seconds: float, traceparent: str = "") -> str:
    """The line about one request."""
    told: dict[str, object] = {
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "level": "info",
        "service": "engine",
        "event": "request",
        "event_key": "engine_request",
        "request_id": request_id,
        "endpoint": path,
        "status": status,
        "ms": round(seconds * 1000, 1),
    }
    version, _, rest = traceparent.partition("-")
    if version == "00" and rest.endswith(("1", "3")):  # recorded
        told["trace_id"] = rest.partition("-")[0]
    return json.dumps(told)


def _is_id(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_ID and text.replace("-", "").isalnum() and text.isascii()
