"""`Idempotency-Key` where processes are killed, gateways are several, and the database is away."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import asyncpg
import pytest

from tests.acceptance.conftest import NewGateway, migrate
from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import Gateway, chat
from tests.acceptance.test_database_away import wait_until_shipped
from tests.acceptance.test_idempotency import CHAT, ask, break_off, key, replayed
from tests.acceptance.test_shutdown import ORDERLY
from tests.databases import NO_SPOOL, PostgresServer
from tests.fakes.engine import Script, ScriptedEngine

__all__ = ["key"]
ENDLESS = Script(pieces=("word ",) * 100_000, pause=0.02)
LEASE = {"ZEPHYR_IDEMPOTENCY_LEASE": "1"}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server that may be hurt."""
    server = PostgresServer()
    yield server
    server.close()


@contextmanager
def locked(url: str) -> Iterator[None]:
    """No answer can be kept inside."""
    loop = asyncio.new_event_loop()
    connection = loop.run_until_complete(asyncpg.connect(url))
    try:
        loop.run_until_complete(connection.execute("BEGIN; LOCK TABLE idempotent_answers IN EXCLUSIVE MODE"))
        yield
    finally:
        loop.run_until_complete(connection.close())
        loop.close()


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_kill_after_the_answer(
    new_gateway: NewGateway, engine: ScriptedEngine, key: str, stream: bool
) -> None:
    """What a client has received whole is replayed after a restart."""
    with new_gateway() as gateway:
        first = ask(gateway, key, chat(stream=stream))
        gateway.kill()
        gateway.start()
        gateway.wait_until_ready()
        second = ask(gateway, key, chat(stream=stream))
    assert (second.status, second.body, replayed(second)) == (200, first.body, True)
    assert len(engine.seen) == 1


def test_kill_in_the_middle(new_gateway: NewGateway, engine: ScriptedEngine, key: str) -> None:
    """Until the lease is over the key counts as taken, and then a retry generates."""
    engine.script = ENDLESS
    with new_gateway(ZEPHYR_IDEMPOTENCY_LEASE="4") as gateway:
        break_off(gateway, engine, key, stream=True)
        gateway.kill()
        engine.script = Script()
        gateway.start()
        gateway.wait_until_ready()
        taken = ask(gateway, key, chat(stream=True))
        assert (taken.status, taken.error["code"]) == (409, "idempotency_in_progress")
        assert 1 <= int(taken.headers["retry-after"]) <= 4
        time.sleep(int(taken.headers["retry-after"]))
        answer = ask(gateway, key, chat(stream=True))
    assert (answer.status, replayed(answer)) == (200, False)
    assert len(engine.seen) == 2


def test_two_gateways(new_gateway: NewGateway, engine: ScriptedEngine, key: str) -> None:
    """One makes the answer, for longer than a lease lasts; the other says so, and has it afterwards."""
    engine.script = Script(silence=2.5)
    with new_gateway(**LEASE) as one, new_gateway(**LEASE) as other, ThreadPoolExecutor(1) as thread:
        first = thread.submit(ask, one, key, chat())
        engine.one()
        for _ in range(4):
            taken = ask(other, key, chat())
            assert (taken.status, taken.error["code"]) == (409, "idempotency_in_progress")
            assert ask(other, key, chat("another")).status == 422
            time.sleep(0.5)
        assert not first.done()
        assert first.result().status == 200
        second = ask(other, key, chat())
        assert (second.status, second.body, replayed(second)) == (200, first.result().body, True)
        assert ask(other, key, chat("another")).status == 422
    assert len(engine.seen) == 1


def test_expired_answer_is_made_anew(
    new_gateway: NewGateway, engine: ScriptedEngine, exchanges: Exchanges, key: str
) -> None:
    """And what nobody asks for again is deleted."""
    with new_gateway(ZEPHYR_IDEMPOTENCY_KEPT="0.3") as gateway:
        ask(gateway, key, chat())
        ask(gateway, key + " too", chat())
        time.sleep(0.4)
        assert not replayed(ask(gateway, key, chat()))
        assert len(engine.seen) == 3
        time.sleep(0.4)
        gateway.kill()
        gateway.start()  # a sweep is the first thing it does
        gateway.wait_until_ready()
        query = "SELECT FROM idempotent_answers WHERE key LIKE $1"
        limit = time.monotonic() + 5
        while exchanges.sql(query, f"{key}%"):
            assert time.monotonic() < limit
            time.sleep(0.1)


def test_day_is_how_long_an_answer_is_kept(
    gateway: Gateway, engine: ScriptedEngine, exchanges: Exchanges, key: str
) -> None:
    ask(gateway, key, chat())
    query = (
        "SELECT extract(epoch FROM expires_at - now())::float AS left FROM idempotent_answers WHERE key = $1"
    )
    assert 86_390 < exchanges.sql(query, key)[0]["left"] <= 86_400


@pytest.mark.parametrize("hurt", ["killed", "frozen"])
def test_database_away(
    new_gateway: NewGateway, engine: ScriptedEngine, server: PostgresServer, key: str, hurt: str
) -> None:
    """This machine's spool has the answer, also after a restart; when the database is back, everybody has."""
    server.start()
    migrate(server.url)
    with new_gateway(DATABASE_URL=server.url) as gateway, new_gateway(DATABASE_URL=server.url) as other:
        server.kill() if hurt == "killed" else server.freeze()
        try:
            began = time.monotonic()
            first = ask(gateway, key, chat(stream=True))
            assert time.monotonic() - began < 4
            second = ask(gateway, key, chat(stream=True))
            if hurt == "killed":
                gateway.kill()
                gateway.start()
                gateway.wait_until_ready()
            third = ask(gateway, key, chat(stream=True))
            refused = ask(gateway, key, chat("another"))
        finally:
            server.start() if hurt == "killed" else server.thaw()
        wait_until_shipped(gateway)
        other.wait_until_ready()
        fourth = ask(other, key, chat(stream=True))
        status = gateway.get("/log/status").json
    assert [replayed(one) for one in (first, second, third, fourth)] == [False, True, True, True]
    assert {one.body for one in (first, second, third, fourth)} == {first.body}
    assert refused.status == 422
    assert len(engine.seen) == 1
    assert status["accepted"] == status["committed"] == 2  # the exchange and the answer


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_end_waits_until_the_answer_is_kept(
    new_gateway: NewGateway, engine: ScriptedEngine, exchanges: Exchanges, key: str, stream: bool
) -> None:
    """Where it cannot be kept the client is told, and the next one generates."""
    settings = {"ZEPHYR_SPOOL_DIR": str(NO_SPOOL), "ZEPHYR_LOG_COMMIT_DEADLINE": "0.7"} | LEASE
    engine.script = Script(silence=0.3)
    with new_gateway(**settings) as gateway, ThreadPoolExecutor(1) as thread:
        asked = thread.submit(ask, gateway, key, chat(stream=stream))
        engine.one()
        with locked(exchanges.url):
            answer = asked.result()
            assert answer.status == (200 if stream else 503)
            assert (b"Hello" in answer.body) is stream
            assert b"[DONE]" not in answer.body
            assert b'"log_unavailable"' in answer.body
        assert exchanges.get(engine.one().headers["x-request-id"])["outcome"] == "completed"
        gateway.wait_until_ready()
        time.sleep(1.0)  # the claim could not be released
        answer = ask(gateway, key, chat(stream=stream))
    assert (answer.status, replayed(answer)) == (200, False)
    assert len(engine.seen) == 2


def test_stop_ends_what_runs_for_somebody_and_for_nobody(
    new_gateway: NewGateway, engine: ScriptedEngine, exchanges: Exchanges, key: str
) -> None:
    """Nothing is left running, and the keys are free afterwards."""
    engine.script = ENDLESS
    with new_gateway(ZEPHYR_DRAIN_SECONDS="0.5") as gateway:
        break_off(gateway, engine, key, stream=True)
        headers = {"idempotency-key": key + " too"}
        with gateway.opened("POST", CHAT, chat(stream=True), headers) as answer:
            assert answer.read(1)
            gateway.terminate()
            rest = answer.read()
        assert b"shutting_down" in rest
        assert b"[DONE]" not in rest
        assert gateway.process.wait(8) in ORDERLY
    assert [seen.wait(1.0) for seen in engine.wait_for(2)] == ["aborted"] * 2
    ids = [seen.headers["x-request-id"] for seen in engine.seen]
    assert [exchanges.get(id)["outcome"] for id in ids] == ["cancelled"] * 2
    query = "SELECT FROM idempotent_answers WHERE key LIKE $1"
    assert exchanges.sql(query, f"{key}%") == []
    assert "crash" not in gateway.log_text
