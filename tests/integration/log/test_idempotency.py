"""The layer in front of applications that crash, say nothing, or never end; with a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.testing import capture_logs
from uuid_utils.compat import uuid7

from adapters.access.callers import LOCAL
from adapters.conversations.claims import Claims
from adapters.conversations.writer import ExchangeWriter
from adapters.database.session import create_engine
from adapters.errors import GatewayError, ShuttingDown
from adapters.idempotency.errors import KeyReused
from adapters.idempotency.layer import Idempotency
from adapters.settings import Settings
from tests.databases import fetch, log_settings

SECRET = "what a client said"
NewLayer = Callable[[ASGIApp], Idempotency]


@pytest.fixture
async def layer_of(writer: ExchangeWriter, database_url: str) -> AsyncIterator[NewLayer]:
    """Puts a layer in front of an application."""
    engine = create_engine(log_settings(database_url))
    layers: list[Idempotency] = []

    def make(app: ASGIApp) -> Idempotency:
        claims = Claims(engine, writer.link, writer.spool, patience=1.0, lease=10.0)
        layer = Idempotency(
            app, generates=lambda _: True, claims=claims, log=writer, settings=Settings.read()
        )
        layer.start()
        layers.append(layer)
        return layer

    yield make
    for layer in layers:
        await layer.close()
    await engine.dispose()


async def ask(layer: Idempotency, body: bytes = b"{}") -> bytes:
    """The body of the answer to a client that stays."""
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "query_string": b"",
        "headers": [(b"idempotency-key", b"key")],
        "zephyr.request_id": uuid7(),
        "zephyr.caller": LOCAL,
    }
    sent: list[Message] = []
    request = [{"type": "http.request", "body": body}]

    async def receive() -> Message:
        if request:
            return request.pop()
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    await layer(scope, receive, send)
    return b"".join(message.get("body", b"") for message in sent)


async def answering(_: Scope, receive: Receive, send: Send) -> None:
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"answer to " + body})


async def crashing(_: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(0.05)
    raise RuntimeError(SECRET)


async def silent(_: Scope, receive: Receive, send: Send) -> None:
    return


@pytest.mark.parametrize("app", [crashing, silent])
async def test_application_without_an_answer_frees_its_key(
    layer_of: NewLayer, database_url: str, app: Any
) -> None:
    """All who wait are told of an error, and nobody of what was in it."""
    with capture_logs() as lines:
        layer = layer_of(app)
        results = await asyncio.gather(ask(layer), ask(layer), return_exceptions=True)
    assert [type(result) for result in results] == [GatewayError, GatewayError]
    assert SECRET not in repr(lines) + repr(results)
    assert [line["error"] for line in lines if line.get("event_key") == "crash"] == (
        ["RuntimeError"] if app is crashing else []
    )
    while await fetch(database_url, "SELECT FROM idempotent_answers"):
        await asyncio.sleep(0.01)
    assert await ask(layer_of(answering)) == b"answer to {}"


async def test_request_is_not_judged_by_one_that_may_not_have_the_key(layer_of: NewLayer) -> None:
    """Another request with the key of a finished answer harms no replay that comes with it."""
    layer = layer_of(answering)
    first = await ask(layer)
    wrong, again = await asyncio.gather(ask(layer, b"[]"), ask(layer), return_exceptions=True)
    assert isinstance(wrong, KeyReused)
    assert again == first


async def test_closing_breaks_off_what_never_ends(layer_of: NewLayer, database_url: str) -> None:
    """Whoever waits is told why, and the key is free."""
    never = asyncio.Event()

    async def endless(_: Scope, receive: Receive, send: Send) -> None:
        await never.wait()

    layer = layer_of(endless)
    asked = asyncio.create_task(ask(layer))
    while not await fetch(database_url, "SELECT FROM idempotent_answers"):
        await asyncio.sleep(0.01)
    await layer.close()
    with pytest.raises(ShuttingDown):
        await asked
    assert await fetch(database_url, "SELECT FROM idempotent_answers") == []
