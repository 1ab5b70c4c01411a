"""A client that does not read what it asked for is cut off; one that reads slowly is not."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.conftest import NewGateway
from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import Gateway, chat, read_until
from tests.fakes.engine import Script, ScriptedEngine

SECONDS = 1.0
HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
    b"content-type: application/json\r\n"
)
LONG = Script(pieces=("x" * 8192,) * 7000)


@pytest.fixture(scope="module")
def impatient(new_gateway: NewGateway) -> Iterator[Gateway]:
    """A gateway that gives a client a second to take what waits for it."""
    with new_gateway(ZEPHYR_SEND_TIMEOUT=str(SECONDS), ZEPHYR_ENGINE_KEEP_ALIVE="0.2") as gateway:
        yield gateway


def files(gateway: Gateway) -> int:
    """How many files and sockets the process holds."""
    return len(list(Path(f"/proc/{gateway.process.pid}/fd").iterdir()))


def wait_for_files(gateway: Gateway, most: int, seconds: float = 5.0) -> None:
    limit = time.monotonic() + seconds
    while files(gateway) > most:
        assert time.monotonic() < limit, f"{files(gateway)} files are open, {most} were"
        time.sleep(0.05)


@pytest.mark.parametrize("bytes_a_second", [0, 10], ids=["nothing", "ten bytes a second"])
def test_stalled_stream_is_cut_off_and_recorded(
    impatient: Gateway, engine: ScriptedEngine, exchanges: Exchanges, bytes_a_second: int
) -> None:
    """Its engine's work ends, and the record has what was on its way, and why it ended."""
    engine.script = LONG
    before = files(impatient)
    began = time.monotonic()
    with impatient.send(chat(stream=True)) as one:
        seen = engine.one()
        while bytes_a_second and seen.outcome == "open" and time.monotonic() - began < 5:
            one.recv(1)
            time.sleep(1 / bytes_a_second)
        assert seen.wait(5.0) == "aborted"
        assert SECONDS < seen.ended - began < SECONDS + 3
        wait_for_files(impatient, before)
    exchange = exchanges.get(seen.headers["x-request-id"])
    assert exchange["outcome"] == "client_gone"
    assert exchange["answer"][0]["content"].startswith("xxx")
    assert "client_stalled" in impatient.log_text


def test_reader_that_is_slower_than_the_engine_is_not_cut_off(
    impatient: Gateway, engine: ScriptedEngine
) -> None:
    """For as long as it takes what waits within its time."""
    engine.script = LONG
    with impatient.send(chat(stream=True)) as one:
        until = time.monotonic() + 3 * SECONDS
        while time.monotonic() < until:
            assert one.recv(256 * 1024)
            time.sleep(0.05)
        assert engine.one().outcome == "open"


def test_whole_answers_that_nobody_takes_do_not_hold_their_connections(
    impatient: Gateway, engine: ScriptedEngine
) -> None:
    """Only their last bytes wait, many or few: the sizes step over what a socket holds by itself."""
    before = files(impatient)
    with ExitStack() as sockets:
        for size in range(60_000, 300_000, 12_000):
            engine.scripts[str(size)] = Script(pieces=("x" * size,))
            one = sockets.enter_context(socket.socket())
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.connect(("127.0.0.1", impatient.port))
            body = json.dumps(chat(str(size))).encode()
            one.sendall(HEAD + b"content-length: %d\r\n\r\n" % len(body) + body)
        assert {seen.wait() for seen in engine.wait_for(len(engine.scripts))} == {"completed"}
        wait_for_files(impatient, before)


def test_many_answers_on_closing_connections_leave_no_timers(
    impatient: Gateway, engine: ScriptedEngine
) -> None:
    """A client that takes its answer is not waited for any longer."""
    before, stalled = files(impatient), impatient.log_text.count("client_stalled")
    for _ in range(50):
        with impatient.connect() as one:
            one.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            assert read_until(one, b"alive")
    wait_for_files(impatient, before)
    time.sleep(SECONDS + 0.3)
    assert impatient.log_text.count("client_stalled") == stalled
