"""A database that is away, frozen or slow: nothing is generated for nobody, and nobody is told what is not so."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import pytest

from tests.acceptance.conftest import NewGateway, migrate
from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import Gateway, chat, read_until
from tests.databases import PostgresServer
from tests.fakes.engine import ScriptedEngine


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server that may be hurt."""
    server = PostgresServer()
    yield server
    server.close()


def check_refused(gateway: Gateway, engine: ScriptedEngine) -> None:
    """Both kinds of requests are refused, and the engine is not asked."""
    for stream in (False, True):
        answer = gateway.post("/v1/chat/completions", chat(stream=stream))
        assert (answer.status, answer.error["code"]) == (503, "log_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
    assert engine.seen == []


@contextmanager
def locked(exchanges: Exchanges) -> Iterator[None]:
    """Nothing can be written to the log inside."""
    loop = asyncio.new_event_loop()
    connection = loop.run_until_complete(asyncpg.connect(exchanges.url))
    transaction = connection.transaction()
    try:
        loop.run_until_complete(transaction.start())
        loop.run_until_complete(connection.execute("LOCK TABLE exchanges IN EXCLUSIVE MODE"))
        yield
        loop.run_until_complete(transaction.rollback())
    finally:
        loop.run_until_complete(connection.close())
        loop.close()


def test_end_mark_waits_for_the_record(
    new_gateway: NewGateway, engine: ScriptedEngine, exchanges: Exchanges
) -> None:
    """While the record is not durable the stream does not end, and it ends as soon as it is."""
    with new_gateway(ZEPHYR_LOG_COMMIT_DEADLINE="10") as gateway, gateway.connect() as one:
        with locked(exchanges):
            body = json.dumps(chat(stream=True)).encode()
            one.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                b"content-length: %d\r\n\r\n%b" % (len(body), body)
            )
            got = read_until(one, b'"finish_reason":"stop"')
            one.settimeout(0.5)
            with pytest.raises(TimeoutError):
                read_until(one, b"[DONE]")
            one.settimeout(10)
        read_until(one, b"[DONE]")
        found = exchanges.now(got.partition(b'"id":"')[2].partition(b'"')[0].decode())
    assert found is not None


def test_record_that_cannot_be_made_is_told(
    new_gateway: NewGateway, engine: ScriptedEngine, exchanges: Exchanges
) -> None:
    """A database that freezes after the generation began: an error instead of the end mark, a 503 instead of the body."""
    with new_gateway(ZEPHYR_LOG_COMMIT_DEADLINE="0.7") as gateway:
        with locked(exchanges):
            streamed = gateway.post("/v1/chat/completions", chat(stream=True))
        with locked(exchanges):
            gateway.wait_until_ready()
            plain = gateway.post("/v1/chat/completions", chat())
        assert streamed.status == 200
        assert b"Hello" in streamed.body
        assert b"[DONE]" not in streamed.body
        assert b'"log_unavailable"' in streamed.body
        assert (plain.status, plain.error["code"]) == (503, "log_unavailable")
        assert b"Hello" not in plain.body
        gateway.wait_until_ready()
        assert gateway.post("/v1/chat/completions", chat()).status == 200


def test_database_away_refuses_before_the_engine_sees_anything(
    new_gateway: NewGateway, engine: ScriptedEngine
) -> None:
    """Without a log nothing is generated."""
    gateway = new_gateway(DATABASE_URL="postgresql://nobody:very-secret@127.0.0.1:1/nothing")
    gateway.start()
    try:
        gateway.wait_until_alive()
        check_refused(gateway, engine)
        assert gateway.get("/readyz").status == 503
        assert "very-secret" not in gateway.get("/readyz").body.decode() + gateway.log_text
    finally:
        gateway.kill()


@pytest.mark.parametrize("hurt", ["killed", "frozen"])
def test_database_that_goes_and_comes_back(
    new_gateway: NewGateway, engine: ScriptedEngine, server: PostgresServer, hurt: str
) -> None:
    """It is noticed within seconds without any request, and so is its return."""
    server.start()
    migrate(server.url)
    with new_gateway(DATABASE_URL=server.url) as gateway:
        server.kill() if hurt == "killed" else server.freeze()
        try:
            gateway.wait_until_unready(4.0)
            check_refused(gateway, engine)
        finally:
            server.start() if hurt == "killed" else server.thaw()
        gateway.wait_until_ready()
        answer = gateway.post("/v1/chat/completions", chat())
        assert Exchanges(server.url).now(answer.json["id"])
