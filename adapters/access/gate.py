"""What every request passes first: it gets an id, and is refused early where it must not come further."""

from uuid import UUID

import structlog
import uuid_utils
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adapters.access.client import ClientGone
from adapters.errors import Forbidden, GatewayError, InvalidRequest, TooLarge, UnsupportedMediaType
from adapters.settings import ServerSettings

_log = structlog.get_logger(__name__)
_STARTS = ("http.response.start", "websocket.accept", "websocket.http.response.start")
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class HeadTooLarge(InvalidRequest):
    """The request's address and headers are too large."""

    status = 431
    code = "headers_too_large"


def request_id(scope: Scope) -> UUID:
    """The id that this request was given."""
    identity: UUID = scope["zephyr.request_id"]
    return identity


class RequestIds:
    """The outermost application: every request gets an id, and a crash is an error in the API's shape."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        identity = UUID(bytes=uuid_utils.uuid7().bytes)
        name = identity.bytes.hex()  # UUID.hex takes ten times as long
        scope["zephyr.request_id"] = identity
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] in _STARTS:
                started = True
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", name.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:  # noqa: BLE001  # the server would log its text, which may quote a client
            _log.error("a request crashed", event_key="crash", id=name, error=type(error).__name__)
            if scope["type"] == "http" and not started:
                await respond(send_with_id, GatewayError("Something went wrong in the gateway."))


class Gate:
    """Refuses early what must not come further, and gives every error the API's shape."""

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope)
            await self._app(scope, receive, send)
        except ClientGone:
            return
        except GatewayError as error:
            await respond(send, error)

    def _check(self, scope: Scope) -> None:
        origin = host = None
        size = len(scope["raw_path"]) + len(scope["query_string"])
        for name, value in scope["headers"]:
            size += len(name) + len(value)
            if name == b"content-length" and not _within(value, self._settings.max_body_bytes):
                raise TooLarge(f"The request body is larger than {self._settings.max_body_bytes} bytes.")
            if name == b"content-encoding" and value.lower() != b"identity":
                raise UnsupportedMediaType("Send the body uncompressed.", param="content-encoding")
            if name == b"origin":
                origin = value.decode("latin-1")
            elif name == b"host":
                host = value.decode("latin-1")
        if size > self._settings.max_header_bytes:
            raise HeadTooLarge
        if origin is not None and scope["method"] not in _SAFE_METHODS:
            check_origin(origin, f"{scope['scheme']}://{host}", self._settings.allowed_origins)


def check_origin(origin: str, own: str, allowed: tuple[str, ...]) -> None:
    """Refuse what a foreign page makes a browser send: a page can do so without asking for permission first.

    Raises:
        Forbidden: it is foreign.
    """
    if origin != own and origin not in allowed:
        raise Forbidden("Pages of this origin may not call this server.", code="origin_not_allowed")


async def respond(send: Send, error: GatewayError, *, closing: bool = False) -> None:
    """Send an error as the whole answer; with `closing`, as the last one on its connection."""
    body = error.body()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *error.headers(),
    ]
    if closing:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _within(length: bytes, limit: int) -> bool:
    return length.isdigit() and int(length) <= limit
