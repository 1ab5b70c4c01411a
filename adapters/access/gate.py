"""What every request passes first: it gets an id, and is refused early where it must not come further."""

from collections.abc import Awaitable
from typing import Protocol
from uuid import UUID

import structlog
import uuid_utils
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from adapters.access.callers import Caller
from adapters.access.client import ClientGone
from adapters.errors import (
    Forbidden,
    GatewayError,
    InvalidRequest,
    NotFound,
    TooLarge,
    UnsupportedMediaType,
)
from adapters.observability import requests
from adapters.settings import ServerSettings

_log = structlog.get_logger(__name__)
_STARTS = ("http.response.start", "websocket.accept", "websocket.http.response.start")
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_VISIT = {
    b"sec-fetch-mode": b"navigate",
    b"sec-fetch-dest": b"document",
}  # https://www.w3.org/TR/fetch-metadata/
_WITHOUT_HOST = ("1.0", None)


class HeadTooLarge(InvalidRequest):
    """The request's address and headers are too large."""

    status = 431
    code = "headers_too_large"


class ForeignPage(Forbidden):
    """Pages of other sites may not embed or fetch what is here."""

    # It could not read the answer, and would learn from how long that takes: https://xsleaks.dev
    code = "cross_site_not_allowed"


class AmbiguousHost(InvalidRequest):
    """A request names the server that it is meant for, once (RFC 9112, 3.2)."""

    code = "invalid_host"


def request_id(scope: Scope) -> UUID:
    """The id that this request was given."""
    identity: UUID = scope["zephyr.request_id"]
    return identity


def answer_headers(scope: Scope) -> dict[bytes, bytes]:
    """What the head of this request's answer carries beside what its door writes, an error's head too.

    Whoever has something to tell puts it here before the head is sent.
    """
    headers: dict[bytes, bytes] = scope["zephyr.answer_headers"]
    return headers


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
        told: dict[bytes, bytes] = {}
        scope["zephyr.answer_headers"] = told
        started = False

        def send_with_id(message: Message) -> Awaitable[None]:
            nonlocal started
            if message["type"] in _STARTS:
                started = True
                message["headers"] = [
                    *message.get("headers", ()),
                    *told.items(),
                    (b"x-request-id", name.encode()),
                ]
            return send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:  # noqa: BLE001  # the server would log its text, which may quote a client
            _log.error("a request crashed", event_key="crash", request_id=name, error=type(error).__name__)
            if not started:
                await respond(
                    send_with_id, GatewayError("Something went wrong in the gateway."), scope["type"]
                )


class Callers(Protocol):
    """Finds out whose a request is, from its path and headers alone."""

    def known(self, scope: Scope) -> Caller | None:
        """The caller, if that can be said at once."""

    async def find(self, scope: Scope) -> Caller:
        """The caller. Raises GatewayError where it is nobody's who may come in, or nobody can tell now."""


class Gate:
    """Refuses early what must not come further, says whose the rest is, and gives every error the API's shape."""

    def __init__(self, app: ASGIApp, settings: ServerSettings, callers: Callers) -> None:
        self._app = app
        self._settings = settings
        self._callers = callers
        self._hosts = settings.hosts_to_check()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope)
            caller = self._callers.known(scope)
            if caller is None:
                caller = await self._callers.find(scope)
            scope["zephyr.caller"] = caller
            requests.enter("validate")
            if caller.key is not None and scope.get("method") == "GET":
                # A cache in front would give it to whoever asks for the same address.
                answer_headers(scope)[b"cache-control"] = b"no-store"
            await self._app(scope, receive, send if scope["type"] == "http" else self._to_socket(scope, send))
        except ClientGone:
            return
        except GatewayError as error:
            await respond(send, error, scope["type"])

    def _to_socket(self, scope: Scope, send: Send) -> Send:
        """What a websocket's application sends with: a close before anything else means that nothing is there.

        A socket may stay open for longer than its key counts, so that it is asked for again at each message.
        """
        started = False

        async def send_or_refuse(message: Message) -> None:
            nonlocal started
            if message["type"] == "websocket.close" and not started:
                await respond(send, NotFound(code="unknown_url"), "websocket")
                return
            if message["type"] == "websocket.send" and not await self._still_knows(scope):
                raise WebSocketDisconnect
            started = True
            await send(message)

        return send_or_refuse

    async def _still_knows(self, scope: Scope) -> bool:
        try:
            return bool(self._callers.known(scope) or await self._callers.find(scope))
        except GatewayError:
            return False

    def _check(self, scope: Scope) -> None:
        origin = host = None
        elsewhere = False
        size = len(scope["raw_path"]) + len(scope["query_string"])
        for name, value in scope["headers"]:
            size += len(name) + len(value)
            if name == b"content-length" and not _within(value, self._settings.max_body_bytes):
                raise TooLarge(f"The request body is larger than {self._settings.max_body_bytes} bytes.")
            if name == b"content-encoding" and value.lower() != b"identity":
                raise UnsupportedMediaType("Send the body uncompressed.", param="content-encoding")
            if name == b"transfer-encoding" and value.lower() != b"chunked":
                raise UnsupportedMediaType("Send the body uncompressed.", param="transfer-encoding")
            if name == b"origin":
                origin = value.decode("latin-1")
            elif name == b"sec-fetch-site":
                elsewhere = value == b"cross-site"
            elif name == b"host":
                if host is not None:
                    raise AmbiguousHost
                host = value.decode("latin-1")
                if self._hosts is not None and _name(host) not in self._hosts:
                    # A foreign page whose own name leads here is of the same origin, for the browser.
                    raise Forbidden("This server is not called by this name.", code="host_not_allowed")
        if size > self._settings.max_header_bytes:
            raise HeadTooLarge
        if host is None and scope.get("http_version") not in _WITHOUT_HOST:
            raise AmbiguousHost
        if scope["type"] != "http":
            return
        if origin is not None and scope["method"] not in _SAFE_METHODS:
            check_origin(origin, f"{scope['scheme']}://{host}", self._settings.allowed_origins)
        elif elsewhere and origin not in self._settings.allowed_origins and not _is_visit(scope):
            raise ForeignPage


def _is_visit(scope: Scope) -> bool:
    """Whether somebody goes to this address, by a link or so; a page that is shown inside of another is none."""
    fetched = {name: value for name, value in scope["headers"] if name in _VISIT}
    return fetched == _VISIT


def check_origin(origin: str, own: str, allowed: tuple[str, ...]) -> None:
    """Refuse what a foreign page makes a browser send: a page can do so without asking for permission first.

    Raises:
        Forbidden: it is foreign.
    """
    if origin != own and origin not in allowed:
        raise Forbidden("Pages of this origin may not call this server.", code="origin_not_allowed")


async def respond(send: Send, error: GatewayError, kind: str = "http", *, closing: bool = False) -> None:
    """Send an error as the whole answer; with `closing`, as the last one on its connection.

    `kind` is the type of the request's scope: a websocket is refused by an answer to its handshake.
    """
    prefix = "websocket." if kind == "websocket" else ""
    body = error.body()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *error.headers(),
    ]
    if closing:
        headers.append((b"connection", b"close"))
    await send({"type": f"{prefix}http.response.start", "status": error.status, "headers": headers})
    await send({"type": f"{prefix}http.response.body", "body": body})


def _name(host: str) -> str:
    """The name in a `host` header, without the port; empty where there is something else."""
    name = host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
    rest = host[len(name) :]
    return name.lower() if not rest or rest[1:].isdigit() else ""


def _within(length: bytes, limit: int) -> bool:
    return length.isdigit() and int(length) <= limit
