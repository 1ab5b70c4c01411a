"""An engine that hangs while its `/health` says 200 is found, gets nothing more, and is taken back when it goes on."""

import time
from collections.abc import Iterator

import pytest

from tests.acceptance.conftest import NewGateway
from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import Gateway, chat, read_until
from tests.fakes.engine import Script, ScriptedEngine

QUIET, HANG, IDLE = 0.3, 1.0, 2.0
FLOWING = Script(pieces=("word ",) * 1000, pause=0.02)


@pytest.fixture(scope="module")
def _own_engine() -> Iterator[ScriptedEngine]:
    """One that no other gateway asks for signs of work."""
    with ScriptedEngine() as engine:
        yield engine


@pytest.fixture
def engine(_own_engine: ScriptedEngine) -> ScriptedEngine:
    """The engine, well and with nothing seen yet."""
    _own_engine.forget()
    return _own_engine


@pytest.fixture(scope="module")
def watchful(new_gateway: NewGateway, _own_engine: ScriptedEngine) -> Iterator[Gateway]:
    """A gateway that notices within a second."""
    with new_gateway(
        ENGINE_URL=_own_engine.url,
        ZEPHYR_ENGINE_QUIET_SECONDS=str(QUIET),
        ZEPHYR_ENGINE_HANG_SECONDS=str(HANG),
        ZEPHYR_ENGINE_IDLE_TIMEOUT=str(IDLE),
    ) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def _well(watchful: Gateway, engine: ScriptedEngine) -> Iterator[None]:
    watchful.wait_until_ready()
    yield
    engine.forget()


def check_refused(gateway: Gateway, engine: ScriptedEngine) -> None:
    before = len(engine.seen)
    for stream in (False, True):
        asked = time.monotonic()
        answer = gateway.post("/v1/chat/completions", chat(stream=stream))
        assert (answer.status, answer.error["code"]) == (503, "engine_unavailable")
        assert "loading" not in answer.error["message"]
        assert int(answer.headers["retry-after"]) >= 1
        assert time.monotonic() - asked < 0.5
    assert len(engine.seen) == before


def test_engine_that_hangs_while_nobody_asks(watchful: Gateway, engine: ScriptedEngine) -> None:
    """A canary finds it; what is said of it is true, and when it goes on it is taken back."""
    engine.hangs = True
    watchful.wait_until_unready()
    part = watchful.get("/readyz").json["parts"]["engine"]
    assert part["problem"] == "The engine says it is well and does not work."
    check_refused(watchful, engine)
    assert watchful.get("/healthz").status == 200
    assert '"engine_hangs"' in watchful.log_text
    engine.hangs = False
    went_on = time.monotonic()
    watchful.wait_until_ready()
    assert time.monotonic() - went_on < 5
    assert watchful.post("/v1/chat/completions", chat()).status == 200


def test_what_runs_when_it_hangs_ends_when_its_time_is_over(
    watchful: Gateway, engine: ScriptedEngine, exchanges: Exchanges
) -> None:
    """A stream with an error event, a plain answer that has not begun with a 504, long before the time for a first byte."""
    engine.script = FLOWING
    engine.scripts["plain"] = Script(silence=0.1)
    with watchful.send(chat(stream=True)) as stream:
        got = read_until(stream, b"word ")
        engine.hangs = True
        hung = time.monotonic()
        with watchful.send(chat("plain")) as plain:
            watchful.wait_until_unready()
            check_refused(watchful, engine)
            got += read_until(stream, b"engine_timeout")
            assert b"HTTP/1.1 504" in read_until(plain, b"engine_timeout")
    assert IDLE - 0.2 < time.monotonic() - hung < IDLE + 2
    assert b"[DONE]" not in got
    assert [seen.wait(1.0) for seen in engine.seen] == ["aborted"] * 2
    streamed, silent = (exchanges.get(seen.headers["x-request-id"]) for seen in engine.seen)
    assert streamed["outcome"] == silent["outcome"] == "failed"
    assert streamed["answer"][0]["content"] == "word " * got.count(b"word ")
    assert streamed["error"]["code"] == "engine_timeout"


def test_it_is_asked_for_a_sign_of_work_only_when_it_gives_none(
    watchful: Gateway, engine: ScriptedEngine
) -> None:
    """While answers flow there are no canaries, and in silence there is one at a time, answered or not.

    A machine that stands still for a moment may bring one about; if all were asked for, there were three in this time.
    """
    engine.script = FLOWING
    with watchful.send(chat(stream=True)) as stream:
        read_until(stream, b"word ")
        time.sleep(QUIET)
        before = engine.canaries
        time.sleep(HANG)
        assert engine.canaries - before <= 1
    engine.script = Script()
    before = engine.canaries
    until = time.monotonic() + HANG
    while time.monotonic() < until:
        assert watchful.post("/v1/chat/completions", chat()).status == 200
        time.sleep(0.1)
    assert engine.canaries - before <= 1
    engine.hangs = True
    before = engine.canaries
    time.sleep(QUIET + 2 * HANG)
    assert 1 <= engine.canaries - before <= 6


def test_canaries_are_nobodys_exchanges(
    watchful: Gateway, engine: ScriptedEngine, exchanges: Exchanges
) -> None:
    """They are the gateway's own business."""
    recorded = exchanges.count()
    limit = time.monotonic() + 5
    while engine.canaries < 3:
        assert time.monotonic() < limit
        time.sleep(0.02)
    assert exchanges.count() == recorded
    assert watchful.get("/log/status").json["waiting"] == 0


def test_long_wait_is_no_hang_while_the_engine_works_for_others(
    watchful: Gateway, engine: ScriptedEngine
) -> None:
    """A first token may be long in coming, and a canary waits as long: what the core reports moves all the same."""
    engine.keeps_canaries_waiting = True
    engine.script = Script(silence=60)
    with watchful.send(chat()):
        engine.one()
        until = time.monotonic() + 2 * HANG
        while time.monotonic() < until:
            engine.generation_tokens += 1
            assert watchful.get("/readyz").status == 200
            time.sleep(0.1)
        watchful.wait_until_unready()  # now that nothing moves


def test_bad_requests_do_not_make_a_hung_engine_look_alive(watchful: Gateway, engine: ScriptedEngine) -> None:
    """vLLM refuses them without its core, some of them with status 200."""
    engine.keeps_canaries_waiting = True
    engine.script = Script(events=[b'data: {"error": {"message": "no", "code": 400}}\n\n'])
    until = time.monotonic() + 3 * HANG
    while watchful.post("/v1/chat/completions", chat(stream=True)).status == 400:
        assert time.monotonic() < until, "it still looks alive"
        time.sleep(0.05)
    watchful.wait_until_unready()


def test_new_engine_is_given_its_time(watchful: Gateway, engine: ScriptedEngine) -> None:
    """What its predecessor did not do is not held against it."""
    engine.hangs = True
    watchful.wait_until_unready()
    engine.healthy = False
    time.sleep(0.3)
    engine.hangs, engine.healthy = False, True
    watchful.wait_until_ready()
