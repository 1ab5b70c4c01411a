"""What a client may do with a connection: none is held for ever, and none costs more than its bounds."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.acceptance.conftest import NewGateway
from tests.acceptance.gateway import Gateway, chat, read_until
from tests.fakes.engine import Script, ScriptedEngine

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
UPGRADE = (
    b"GET %b HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
LIVE = UPGRADE % b"/zephyr/ws/gpu-stats"
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def strict(new_gateway: NewGateway) -> Iterator[Gateway]:
    """A gateway with little patience and few connections."""
    with new_gateway(
        ZEPHYR_BODY_TIMEOUT="0.5", ZEPHYR_MAX_CONNECTIONS="20", ZEPHYR_MAX_BODY_BYTES="20000"
    ) as gateway:
        yield gateway


def post(body: dict[str, object], *headers: bytes) -> bytes:
    content = json.dumps(body).encode()
    lines = b"".join(header + b"\r\n" for header in headers)
    return HEAD + lines + b"content-length: %d\r\n\r\n" % len(content) + content


def until_closed(one: socket.socket) -> bytes:
    """Everything that comes, which must end within the socket's timeout."""
    got = b""
    while piece := one.recv(65536):
        got += piece
    return got


def check_error(answer: bytes, status: int, code: str) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), head
    assert b"x-request-id: " in head
    assert b"connection: close" in head.lower()
    assert json.loads(body)["error"]["code"] == code


@pytest.mark.parametrize("pause", [0.0, 0.4], ids=["together", "later"])
@pytest.mark.parametrize("second", [HEALTH, post(chat("y")), HEAD + b"content-length: 90000\r\n\r\n{"])
def test_leaving_with_another_request_behind_stops_the_engine(
    gateway: Gateway, engine: ScriptedEngine, pause: float, second: bytes
) -> None:
    """The first request's client has gone as well, whatever it had sent after it."""
    engine.script = Script(silence=60)
    one = gateway.connect()
    one.sendall(post(chat("x")))
    engine.wait_for(1)
    time.sleep(pause)
    one.sendall(second)
    time.sleep(0.3)
    left = time.monotonic()
    one.close()
    assert engine.seen[0].wait(2.0) == "aborted"
    assert engine.seen[0].ended - left < 1.0
    assert len(engine.seen) == 1


def test_requests_behind_one_that_runs_are_bounded(gateway: Gateway, engine: ScriptedEngine) -> None:
    """They are read, so that leaving is seen, but not without end."""
    engine.script = Script(silence=60)
    with gateway.connect() as one:
        one.sendall(post(chat("x")))
        engine.wait_for(1)
        with pytest.raises(OSError):
            for _ in range(100):
                one.sendall(HEALTH)
                time.sleep(0.01)
    assert engine.seen[0].wait(2.0) == "aborted"


def test_late_head_behind_a_running_answer_does_not_break_it(strict: Gateway, engine: ScriptedEngine) -> None:
    """A refusal in the middle of an answer would look like a piece of it."""
    engine.script = Script(pieces=("word ",) * 60, pause=0.02)
    with strict.connect() as one:
        one.sendall(post(chat(stream=True)))
        read_until(one, b"word ")
        one.sendall(HEALTH[:10])
        answer, _, after = until_closed(one).partition(b"0\r\n\r\n")
    assert b"[DONE]" in answer
    assert b"request_timeout" not in answer
    check_error(after, 408, "request_timeout")


@pytest.mark.parametrize("start", [b"2\r\n{}\r\n0\r\n", b"2;"], ids=["trailers", "chunk extension"])
@pytest.mark.parametrize("line", [b"x: " + b"y" * 990 + b"\r\n", b"y" * 1000], ids=["lines", "one line"])
def test_what_comes_beside_a_body_is_bounded(
    gateway: Gateway, engine: ScriptedEngine, start: bytes, line: bytes
) -> None:
    before = gateway.memory_bytes()
    sent = 0
    with gateway.connect() as one:
        one.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n" + start)
        with pytest.raises(OSError):
            while sent < 100 * 2**20:
                one.sendall(line * 60)
                sent += 60_000
    assert sent < 20 * 2**20
    assert gateway.memory_bytes() - before < 20 * 2**20
    assert engine.seen == []


def test_trailers_are_passed_over(gateway: Gateway, engine: ScriptedEngine) -> None:
    body = json.dumps(chat()).encode()
    with gateway.connect() as one:
        one.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n" % (len(body), body))
        one.sendall(b"x-sum: 1\r\n\r\n" + HEALTH)
        assert b"HTTP/1.1 200" in read_until(one, b"alive")


@pytest.mark.parametrize("kind", ["large", "long line", "many lines"])
def test_upgrade_with_a_large_head_is_refused(gateway: Gateway, kind: str) -> None:
    """Also where the websocket library, which takes less than HTTP does, would say nothing."""
    lines = {
        "large": b"x: " + b"a" * 40_000 + b"\r\n",
        "long line": b"x: " + b"a" * 20_000 + b"\r\n",
        "many lines": b"x: a\r\n" * 200,
    }
    with gateway.connect() as one:
        one.sendall(LIVE + lines[kind] + b"\r\n")
        code = "headers_too_large" if kind == "large" else "invalid_handshake"
        check_error(until_closed(one), 431, code)


def test_upgrades_over_the_limit_of_connections_are_refused(strict: Gateway) -> None:
    sockets = [strict.connect() for _ in range(21)]
    time.sleep(0.1)
    try:
        with strict.connect() as one:
            one.sendall(LIVE + b"\r\n")
            check_error(until_closed(one), 503, "overloaded")
    finally:
        for one in sockets:
            one.close()
    strict.wait_until_alive()


def test_upgrade_behind_a_running_request_is_refused(gateway: Gateway, engine: ScriptedEngine) -> None:
    """Two would write on one connection, and the first would not see its client leave."""
    engine.script = Script(silence=60)
    with gateway.connect() as one:
        one.sendall(post(chat("x")) + LIVE + b"\r\n")
        assert engine.one().wait(2.0) == "aborted"


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        (HEAD + b"content-length: 10000\r\n\r\n", 408, "request_timeout"),
        (HEAD + b"content-length: 20001\r\n\r\n", 413, "request_too_large"),
        (HEAD.replace(b"json", b"xml") + b"content-length: 10000\r\n\r\n", 415, "unsupported_media_type"),
        (HEAD.replace(b"/v1/chat", b"/nowhere") + b"content-length: 10000\r\n\r\n", 404, "unknown_url"),
    ],
)
def test_body_that_trickles_in_after_its_answer_holds_nothing(
    strict: Gateway, engine: ScriptedEngine, head: bytes, status: int, code: str
) -> None:
    """The client is told that the connection ends, gets the time to read so, and then it does."""
    began = time.monotonic()
    with strict.connect() as one:
        one.sendall(head)
        with pytest.raises(OSError):
            while time.monotonic() - began < 5:
                one.sendall(b"x")
                time.sleep(0.02)
    assert time.monotonic() - began < 3
    with strict.connect() as one:
        one.sendall(head)
        check_error(until_closed(one), status, code)


def test_large_body_is_answered_though_it_is_not_read(strict: Gateway, engine: ScriptedEngine) -> None:
    """A connection that is reset while the client sends would lose the answer."""
    with strict.connect() as one:
        one.sendall(HEAD + b"content-length: 3000000\r\n\r\n")
        one.sendall(b" " * 3_000_000)
        check_error(until_closed(one), 413, "request_too_large")


@pytest.mark.parametrize("together", [True, False], ids=["one packet", "two packets"])
def test_upgrade_that_is_no_websocket_is_ignored(
    gateway: Gateway, engine: ScriptedEngine, together: bool
) -> None:
    """`curl --http2` and Java's client ask for HTTP/2 this way, and may be answered in HTTP/1.1."""
    request = post(
        chat("x"), b"connection: Upgrade, HTTP2-Settings", b"upgrade: h2c", b"http2-settings: AAMA"
    )
    end = len(request) if together else request.index(b"\r\n\r\n") + 4
    with gateway.connect() as one:
        for _ in range(2):
            one.sendall(request[:end])
            if not together:
                time.sleep(0.1)
                one.sendall(request[end:])
            assert b"HTTP/1.1 200" in read_until(one, b"Hello, world.")
        one.sendall(request * 2 + HEALTH)
        got = read_until(one, b"alive")
    assert got.count(b"HTTP/1.1 200") == 3
    assert [seen.json["messages"] for seen in engine.seen] == [chat("x")["messages"]] * 4


def test_tunnel_is_refused(gateway: Gateway) -> None:
    with gateway.connect() as one:
        one.sendall(b"CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n")
        check_error(until_closed(one), 400, "invalid_http")


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "LocalHost:8000", "[::1]:8000"])
def test_own_names_may_be_called(gateway: Gateway, host: str) -> None:
    assert gateway.get("/log/exchanges", host=host).status == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "localhost.evil.example", "[::2]", ""])
def test_foreign_names_are_refused(gateway: Gateway, engine: ScriptedEngine, host: str) -> None:
    """A page whose name leads to this machine is, for its browser, of the same origin as the log."""
    for path in ("/log/exchanges", "/docs", "/v1/models"):
        answer = gateway.get(path, host=host)
        assert (answer.status, answer.error["code"]) == (403, "host_not_allowed")
    with gateway.connect() as one:
        one.sendall(LIVE.replace(b"localhost", host.encode()) + b"\r\n")
        check_error(until_closed(one), 403, "host_not_allowed")
    with gateway.connect() as one:
        one.sendall(post(chat()).replace(b"localhost", host.encode()))
        assert b"HTTP/1.1 403" in read_until(one, b"host_not_allowed")
    assert engine.seen == []


def test_names_are_checked_elsewhere_only_where_they_are_given(
    new_gateway: NewGateway, engine: ScriptedEngine
) -> None:
    with new_gateway(ZEPHYR_HOST="0.0.0.0", ZEPHYR_REQUIRE_KEYS="false") as gateway:
        assert gateway.get("/healthz", host="any.example").status == 200
    with new_gateway(
        ZEPHYR_HOST="0.0.0.0", ZEPHYR_REQUIRE_KEYS="false", ZEPHYR_ALLOWED_HOSTS="api.example"
    ) as gateway:
        assert gateway.get("/healthz", host="api.example:80").status == 200
        assert gateway.get("/healthz", host="any.example").status == 403


def test_websockets_are_refused_in_shape_and_nothing_they_say_is_logged(
    new_gateway: NewGateway, engine: ScriptedEngine
) -> None:
    secret = b"?user_message=what-was-said"
    with new_gateway() as gateway:
        for path in (b"/zephyr/raw", b"/nowhere"):
            with gateway.connect() as one:
                one.sendall(UPGRADE % (path + secret) + b"\r\n")
                check_error(until_closed(one), 404, "unknown_url")
        with gateway.connect() as one:
            one.sendall((UPGRADE % (b"/zephyr/ws/gpu-stats" + secret)).replace(b": 13", b": 12") + b"\r\n")
            check_error(until_closed(one), 400, "invalid_handshake")
        with gateway.connect() as one:
            one.sendall(UPGRADE % (b"/zephyr/ws/gpu-stats" + secret) + b"\r\n")
            assert b"x-request-id" in read_until(one, b"gpus")
        assert "what-was-said" not in gateway.log_text
        assert '"level":"error"' not in gateway.log_text
        assert "listening" in gateway.log_text
        gateway.terminate()
        gateway.process.wait(10)
        assert "stopped" in gateway.log_text


def test_refused_upgrades_leave_no_file_open(gateway: Gateway) -> None:
    files = Path(f"/proc/{gateway.process.pid}/fd")
    before = len(list(files.iterdir()))
    sockets = [gateway.connect() for _ in range(20)]
    for one in sockets:
        one.sendall(LIVE + b"x: " + b"a" * 20_000 + b"\r\n\r\n")
    for one in sockets:
        until_closed(one)
    time.sleep(0.2)
    assert len(list(files.iterdir())) <= before
    for one in sockets:
        one.close()


def test_websocket_is_not_taken_for_a_request_that_is_late(strict: Gateway) -> None:
    """Its client owes nothing after the handshake."""
    with connect(f"ws://127.0.0.1:{strict.port}/zephyr/ws/gpu-stats") as live:
        for _ in range(3):
            assert "engine" in json.loads(live.recv(timeout=5))


def test_answer_given_before_the_body_has_come_is_all_that_is_said(strict: Gateway) -> None:
    """The client may be as late as it likes with a body that nobody reads."""
    with strict.connect() as one:
        one.sendall(b"POST /nowhere HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5000\r\n\r\n{")
        answer = until_closed(one)
    check_error(answer, 404, "unknown_url")
    assert answer.count(b"HTTP/1.1") == 1


def test_body_that_drips_is_late_all_the_same(strict: Gateway, engine: ScriptedEngine) -> None:
    """Its time is not begun anew by every byte."""
    began = time.monotonic()
    with strict.connect() as one:
        one.sendall(HEAD + b"content-length: 5000\r\n\r\n")
        one.settimeout(0.05)
        got = b""
        while b"request_timeout" not in got:
            assert time.monotonic() - began < 3
            one.sendall(b" ")
            with suppress(TimeoutError):
                got += one.recv(65536)
    assert 0.4 < time.monotonic() - began < 1.5
    assert engine.seen == []
