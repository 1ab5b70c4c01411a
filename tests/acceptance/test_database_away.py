"""A database that is away, frozen or slow: with a spool clients notice nothing, and without one nobody is told what is
not so."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import pytest

from tests.acceptance.conftest import NewGateway, migrate
from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import Gateway, chat, read_until
from tests.databases import NO_SPOOL, PostgresServer
from tests.fakes.engine import ScriptedEngine

NOWHERE = "postgresql://nobody:very-secret@127.0.0.1:1/nothing"
WITHOUT_SPOOL = {"ZEPHYR_SPOOL_DIR": str(NO_SPOOL)}


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
    with new_gateway(**WITHOUT_SPOOL) as gateway, gateway.connect() as one:
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
    with new_gateway(**WITHOUT_SPOOL, ZEPHYR_LOG_COMMIT_DEADLINE="0.7") as gateway:
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
    gateway = new_gateway(**WITHOUT_SPOOL, DATABASE_URL=NOWHERE)
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
    with new_gateway(**WITHOUT_SPOOL, DATABASE_URL=server.url) as gateway:
        server.kill() if hurt == "killed" else server.freeze()
        try:
            gateway.wait_until_unready(4.0)
            check_refused(gateway, engine)
        finally:
            server.start() if hurt == "killed" else server.thaw()
        gateway.wait_until_ready()
        answer = gateway.post("/v1/chat/completions", chat())
        assert Exchanges(server.url).now(answer.json["id"])


@pytest.mark.parametrize("hurt", ["killed", "frozen"])
def test_with_a_spool_clients_notice_nothing(
    new_gateway: NewGateway, engine: ScriptedEngine, server: PostgresServer, hurt: str
) -> None:
    """Answers go on, can be read back and gone on from at once, and are in the database when it is back."""
    server.start()
    migrate(server.url)
    with new_gateway(DATABASE_URL=server.url) as gateway:
        server.kill() if hurt == "killed" else server.freeze()
        try:
            answers = [
                gateway.post("/v1/chat/completions", chat(stream=stream, store=True))
                for stream in (False, True) * 3
            ]
            first = gateway.post("/zephyr/python", {"user_message": "one"})
            body = {"user_message": "two", "conversation": first.json["conversation"]}
            second = gateway.post("/zephyr/python", body)
            assert {answer.status for answer in (*answers, first, second)} == {200}
            assert [message["content"] for message in engine.seen[-1].json["messages"]][1:] == [
                *("one", "Hello, world.", "two")
            ]
            for answer in (*answers, first, second):
                assert gateway.get(f"/log/exchanges/{answer.headers['x-request-id']}").status == 200
            for answer in answers:
                stored = f"/v1/chat/completions/chatcmpl-{answer.headers['x-request-id']}"
                assert gateway.get(stored).json["choices"][0]["message"]["content"] == "Hello, world."
                assert gateway.get(f"{stored}/messages").json["data"][0]["content"] == "hello"
            if hurt == "killed":  # at once; a frozen database is waited for
                refused = gateway.request("DELETE", stored, None)
                assert (refused.status, refused.error["code"]) == (503, "log_unavailable")
                assert gateway.get(stored).status == 200
            ready = gateway.get("/readyz")
            assert (ready.status, "away" in ready.json["parts"]["log"]["problem"]) == (200, True)
            status = gateway.get("/log/status").json
            assert (status["accepted"], status["spooled"], status["committed"]) == (8, 8, 0)
            assert status["oldest_unshipped"] is not None
            assert b"zephyr_log_spooled 8.0" in gateway.get("/metrics").body
        finally:
            server.start() if hurt == "killed" else server.thaw()
        wait_until_shipped(gateway)
        assert gateway.get("/log/status").json["committed"] == 8
        found = [
            Exchanges(server.url).now(answer.headers["x-request-id"]) for answer in (*answers, first, second)
        ]
        assert [exchange and exchange["outcome"] for exchange in found] == ["completed"] * 8


def test_a_killed_gateway_ships_what_it_had_kept_when_it_is_back(
    new_gateway: NewGateway, engine: ScriptedEngine, server: PostgresServer
) -> None:
    server.start()
    migrate(server.url)
    gateway = new_gateway(DATABASE_URL=server.url)
    with gateway:
        server.kill()
        ids = [gateway.post("/v1/chat/completions", chat()).json["id"] for _ in range(3)]
        gateway.kill()
        server.start()
        gateway.start()
        gateway.wait_until_ready()
        wait_until_shipped(gateway)
        assert all(Exchanges(server.url).now(id) for id in ids)


def test_best_effort_answers_without_a_record_and_counts(
    new_gateway: NewGateway, engine: ScriptedEngine
) -> None:
    """Somebody has decided that answers matter more; how many have no record is told."""
    with new_gateway(
        **WITHOUT_SPOOL, DATABASE_URL=NOWHERE, ZEPHYR_LOG_MODE="best_effort", ZEPHYR_LOG_COMMIT_DEADLINE="0.3"
    ) as gateway:
        assert [gateway.post("/v1/chat/completions", chat(stream=one)).status for one in (True, False)] == [
            200,
            200,
        ]
        assert gateway.get("/log/status").json["lost"] == 2


def wait_until_shipped(gateway: Gateway, seconds: float = 10.0) -> None:
    limit = time.monotonic() + seconds
    while gateway.get("/log/status").json["spooled"]:
        assert time.monotonic() < limit
        time.sleep(0.1)
