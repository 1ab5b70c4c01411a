"""Stopping loses nothing: in order with SIGTERM, and as far as can be with kill -9."""

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.acceptance.conftest import NewGateway
from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import Gateway, chat, read_until
from tests.fakes.engine import Script, ScriptedEngine

DRAIN = 1.5
ORDERLY = (0, -signal.SIGTERM)  # uvicorn, when all is done, ends by the signal it was sent
ENDLESS = Script(pieces=("word ",) * 100_000, pause=0.02)


@pytest.fixture
def draining(new_gateway: NewGateway) -> Iterator[Gateway]:
    """A gateway of the test's own, which gives running answers a second and a half."""
    with new_gateway(ZEPHYR_DRAIN_SECONDS=str(DRAIN)) as gateway:
        yield gateway


def wait_for_exit(gateway: Gateway, seconds: float) -> int:
    return gateway.process.wait(seconds)


def test_idle_gateway_stops_at_once(draining: Gateway) -> None:
    """With nothing to do it is gone within a second or so."""
    stopped = time.monotonic()
    draining.terminate()
    assert wait_for_exit(draining, 5) in ORDERLY
    assert time.monotonic() - stopped < 1.5


def test_answers_that_end_within_the_drain_are_whole(
    draining: Gateway, engine: ScriptedEngine, exchanges: Exchanges
) -> None:
    """Streams and plain answers that are nearly done are finished and recorded."""
    engine.script = Script(pieces=("word ",) * 25, pause=0.03)
    engine.scripts["plain"] = Script(silence=0.8)
    with draining.send(chat(stream=True)) as stream, draining.send(chat("plain")) as plain:
        read_until(stream, b"word ")
        engine.wait_for(2)
        draining.terminate()
        assert read_until(stream, b"[DONE]")
        assert b"200 OK" in read_until(plain, b"Hello, world.")
    assert wait_for_exit(draining, DRAIN + 4) in ORDERLY
    outcomes = [exchanges.get(seen.headers["x-request-id"])["outcome"] for seen in engine.seen]
    assert outcomes == ["completed", "completed"]


def test_answers_that_do_not_end_are_told_and_recorded(
    draining: Gateway, engine: ScriptedEngine, exchanges: Exchanges
) -> None:
    """After the drain streams get an error event, plain answers a 503, the engine is stopped, all is in the log."""
    engine.script = ENDLESS
    engine.scripts["plain"] = Script(silence=60)
    with ExitStack() as sockets:
        streams = [sockets.enter_context(draining.send(chat(stream=True))) for _ in range(5)]
        plain = sockets.enter_context(draining.send(chat("plain")))
        for one in streams:
            read_until(one, b"word ")
        engine.wait_for(6)
        stopped = time.monotonic()
        draining.terminate()
        for one in streams:
            assert b"[DONE]" not in read_until(one, b"shutting_down")
        assert b"HTTP/1.1 503" in read_until(plain, b"shutting_down")
    assert wait_for_exit(draining, DRAIN + 5) in ORDERLY
    assert time.monotonic() - stopped < DRAIN + 3
    assert [seen.wait(1.0) for seen in engine.seen] == ["aborted"] * 6
    found = [exchanges.get(seen.headers["x-request-id"]) for seen in engine.seen]
    assert [one["outcome"] for one in found] == ["cancelled"] * 6
    assert found[0]["answer"][0]["content"].startswith("word ")


def test_new_requests_are_refused_while_draining(draining: Gateway, engine: ScriptedEngine) -> None:
    """Who comes on an open connection while the gateway drains is told to come back."""
    engine.script = ENDLESS
    with draining.send(chat(stream=True)) as stream:
        read_until(stream, b"word ")
        draining.terminate()
        time.sleep(0.3)
        answer = draining.post("/v1/chat/completions", chat())
    assert (answer.status, answer.error["code"]) == (503, "shutting_down")
    assert int(answer.headers["retry-after"]) >= 1
    assert len(engine.seen) == 1
    assert wait_for_exit(draining, DRAIN + 5) in ORDERLY


def test_client_that_reads_nothing_does_not_hold_the_stop_up(
    draining: Gateway, engine: ScriptedEngine, exchanges: Exchanges
) -> None:
    """A stalled client is cut off, and its exchange recorded."""
    engine.script = Script(pieces=("x" * 8192,) * 7000)
    with draining.send(chat(stream=True)):
        time.sleep(0.7)
        stopped = time.monotonic()
        draining.terminate()
        wait_for_exit(draining, DRAIN + 9)
        assert time.monotonic() - stopped < DRAIN + 7
        found = exchanges.get(engine.one().headers["x-request-id"])
    assert found["outcome"] == "cancelled"
    assert found["answer"][0]["content"].startswith("xxx")


def test_kill_stops_the_engines_work_and_corrupts_nothing(
    new_gateway: NewGateway, engine: ScriptedEngine, exchanges: Exchanges
) -> None:
    """After kill -9 what was told complete is there, the engine works on nothing, and a new start serves."""
    with new_gateway() as gateway:
        done = [gateway.post("/v1/chat/completions", chat()).json["id"] for _ in range(5)]
        engine.script = ENDLESS
        with ExitStack() as sockets:
            for _ in range(5):
                read_until(sockets.enter_context(gateway.send(chat(stream=True))), b"word ")
            killed = time.monotonic()
            gateway.kill()
        assert [seen.wait(1.0) for seen in engine.seen[5:]] == ["aborted"] * 5
        assert max(seen.ended for seen in engine.seen) - killed < 1.0
        for id in done:
            assert exchanges.now(id)
        engine.script = Script()
        gateway.start()
        gateway.wait_until_ready()
        answer = gateway.post("/v1/chat/completions", chat())
        assert exchanges.now(answer.json["id"])
