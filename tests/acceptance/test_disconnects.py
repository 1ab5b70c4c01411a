"""A client that goes away stops the engine's work within a second, and leaves a record and a free place."""

import socket
import time
from collections.abc import Iterator

import pytest

from tests.acceptance.conftest import NewGateway
from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import Gateway, chat, read_until
from tests.fakes.engine import Script, ScriptedEngine, Seen

SLOW = Script(pieces=("word ",) * 1000, pause=0.02)


@pytest.fixture(scope="module")
def narrow(new_gateway: NewGateway) -> Iterator[Gateway]:
    """A gateway with room for one generation, so that a place which is not freed is noticed."""
    with new_gateway(ZEPHYR_MAX_OPEN_GENERATIONS="1") as gateway:
        yield gateway


def check_gone(narrow: Gateway, engine: ScriptedEngine, exchanges: Exchanges, left: float) -> Seen:
    """The engine was stopped within a second, the exchange says why, and the place is free."""
    seen = engine.seen[0]
    assert seen.wait(2.0) == "aborted"
    assert seen.ended - left < 1.0
    assert exchanges.get(seen.headers["x-request-id"])["outcome"] == "client_gone"
    engine.script = Script()
    assert narrow.post("/v1/chat/completions", chat()).status == 200
    return seen


def partial_text(exchanges: Exchanges, seen: Seen) -> str:
    answer = exchanges.get(seen.headers["x-request-id"])["answer"]
    return str(answer[0]["content"]) if answer else ""


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("moment", [0.0, 0.05, 0.3], ids=["at once", "soon", "later"])
def test_leaving_before_the_first_byte(
    narrow: Gateway, engine: ScriptedEngine, exchanges: Exchanges, stream: bool, moment: float
) -> None:
    engine.script = Script(silence=60)
    one = narrow.send(chat(stream=stream))
    engine.one()
    time.sleep(moment)
    left = time.monotonic()
    one.close()
    seen = check_gone(narrow, engine, exchanges, left)
    assert partial_text(exchanges, seen) == ""


def test_leaving_in_the_middle_of_a_stream(
    narrow: Gateway, engine: ScriptedEngine, exchanges: Exchanges
) -> None:
    """What had come is in the record, and the outcome is not dressed up."""
    engine.script = SLOW
    one = narrow.send(chat(stream=True))
    got = read_until(one, b"word ").count(b"word ")
    left = time.monotonic()
    one.close()
    seen = check_gone(narrow, engine, exchanges, left)
    exchange = exchanges.get(seen.headers["x-request-id"])
    assert exchange["finish_reason"] is None
    assert partial_text(exchanges, seen).startswith("word " * got)


def test_leaving_while_a_stream_pauses(narrow: Gateway, engine: ScriptedEngine, exchanges: Exchanges) -> None:
    """Also when the engine says nothing at that moment."""
    engine.script = Script(stop_after=3, ending="hang")
    one = narrow.send(chat(stream=True))
    read_until(one, b"Hello")
    left = time.monotonic()
    one.close()
    seen = check_gone(narrow, engine, exchanges, left)
    assert partial_text(exchanges, seen).startswith("Hello")


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_half_closed_connection(
    narrow: Gateway, engine: ScriptedEngine, exchanges: Exchanges, stream: bool
) -> None:
    """A client that closes its sending side counts as gone, as it does for every common server."""
    engine.script = Script(silence=60)
    with narrow.send(chat(stream=stream)) as one:
        engine.one()
        left = time.monotonic()
        one.shutdown(socket.SHUT_WR)
        check_gone(narrow, engine, exchanges, left)


def test_reset_connection(narrow: Gateway, engine: ScriptedEngine, exchanges: Exchanges) -> None:
    """A reset counts as gone too."""
    engine.script = SLOW
    one = narrow.send(chat(stream=True))
    read_until(one, b"word ")
    left = time.monotonic()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    one.close()
    check_gone(narrow, engine, exchanges, left)


def test_leaving_a_plain_answer_that_is_being_made(
    narrow: Gateway, engine: ScriptedEngine, exchanges: Exchanges
) -> None:
    """Also after the engine's status line has come."""
    engine.script = Script(stop_after=30, ending="hang")
    one = narrow.send(chat())
    engine.one()
    time.sleep(0.2)
    left = time.monotonic()
    one.close()
    check_gone(narrow, engine, exchanges, left)


def test_leaving_with_the_body_half_sent(narrow: Gateway, engine: ScriptedEngine) -> None:
    """A request that never came whole reaches nothing and holds nothing."""
    with narrow.connect() as one:
        one.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            b'content-length: 100\r\n\r\n{"mess'
        )
    assert narrow.post("/v1/chat/completions", chat()).status == 200
    assert len(engine.seen) == 1


def test_many_leave_at_once(gateway: Gateway, engine: ScriptedEngine, exchanges: Exchanges) -> None:
    """Forty clients that leave together stop forty generations."""
    engine.script = SLOW
    sockets = [gateway.send(chat(stream=True)) for _ in range(40)]
    for one in sockets:
        read_until(one, b"word ")
    left = time.monotonic()
    for one in sockets:
        one.close()
    assert [seen.wait(2.0) for seen in engine.seen] == ["aborted"] * 40
    assert max(seen.ended for seen in engine.seen) - left < 1.0
    outcomes = {exchanges.get(seen.headers["x-request-id"])["outcome"] for seen in engine.seen}
    assert outcomes == {"client_gone"}


def test_slow_reader_holds_the_engine_back(
    narrow: Gateway, engine: ScriptedEngine, exchanges: Exchanges
) -> None:
    """A client that reads nothing costs little memory: the engine is paused, and is stopped when he leaves."""
    engine.script = Script(pieces=("x" * 8192,) * 7000)
    before = narrow.memory_bytes()
    one = narrow.send(chat(stream=True))
    time.sleep(1.0)
    sent = engine.one().sent_bytes
    time.sleep(0.5)
    assert engine.one().sent_bytes == sent < 24 * 2**20
    assert narrow.memory_bytes() - before < 24 * 2**20
    left = time.monotonic()
    one.close()
    check_gone(narrow, engine, exchanges, left)


def test_slow_reader_gets_everything_in_the_end(narrow: Gateway, engine: ScriptedEngine) -> None:
    """Being held back loses nothing."""
    engine.script = Script(pieces=("x" * 8192,) * 2000)
    with narrow.send(chat(stream=True)) as one:
        time.sleep(0.5)
        got = read_until(one, b"[DONE]")
    assert got.count(b"x" * 8192) >= 1990  # the rest is cut by the frames of HTTP's own chunks
    assert engine.one().wait() == "completed"
