"""What a client may send: bounded in size and time, in JSON, uncompressed."""

import gzip
import json
import socket
import time
from collections.abc import Iterator

import pytest

from tests.acceptance.conftest import NewGateway
from tests.acceptance.gateway import Gateway, chat, read_until
from tests.fakes.engine import ScriptedEngine

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


@pytest.fixture(scope="module")
def strict(new_gateway: NewGateway) -> Iterator[Gateway]:
    """A gateway with small limits."""
    limits = {
        "ZEPHYR_MAX_BODY_BYTES": "20000",
        "ZEPHYR_MAX_HEADER_BYTES": "8192",
        "ZEPHYR_BODY_TIMEOUT": "0.5",
    }
    with new_gateway(**limits) as gateway:
        yield gateway


def test_body_too_large_by_its_own_account(strict: Gateway, engine: ScriptedEngine) -> None:
    """A body that says it is too large is refused before it is sent."""
    with strict.connect() as one:
        one.sendall(HEAD + b"content-length: 20001\r\n\r\n")
        assert b"HTTP/1.1 413" in read_until(one, b"request_too_large")
    assert engine.seen == []


def test_body_too_large_in_chunks(strict: Gateway, engine: ScriptedEngine) -> None:
    """A body that does not say how large it is is refused as soon as it is too large."""
    with strict.connect() as one:
        one.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        one.sendall(b"1000\r\n" + b" " * 4096 + b"\r\n")
        for _ in range(4):
            one.sendall(b"1000\r\n" + b" " * 4096 + b"\r\n")
        assert b"HTTP/1.1 413" in read_until(one, b"request_too_large")
    assert engine.seen == []


def test_body_at_the_limit_is_taken(strict: Gateway, engine: ScriptedEngine) -> None:
    body = json.dumps(chat()).encode()
    answer = strict.post(
        "/v1/chat/completions", body + b" " * (20_000 - len(body)), **{"content-type": "application/json"}
    )
    assert answer.status == 200


@pytest.mark.parametrize("length", [b"-1", b"x", b"1, 2", b"99999999999999999999"])
def test_nonsense_length(strict: Gateway, engine: ScriptedEngine, length: bytes) -> None:
    """A length that is none is refused."""
    with strict.connect() as one:
        one.sendall(HEAD + b"content-length: " + length + b"\r\n\r\n{}")
        assert read_until(one, b"\r\n").split(b" ")[1] in (b"400", b"413")
    assert engine.seen == []


def test_slow_body(strict: Gateway, engine: ScriptedEngine) -> None:
    """A body that trickles in is given up after its time."""
    with strict.connect() as one:
        one.sendall(HEAD + b"content-length: 100\r\n\r\n{")
        began = time.monotonic()
        assert b"HTTP/1.1 408" in read_until(one, b"request_timeout")
        assert time.monotonic() - began < 3
    assert engine.seen == []


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nhost", HEAD])
def test_slow_head(strict: Gateway, sent: bytes) -> None:
    """A connection on which no whole head comes is not kept open for ever."""
    with strict.connect() as one:
        one.sendall(sent)
        began = time.monotonic()
        assert b"HTTP/1.1 408" in read_until(one, b"request_timeout")
        assert one.recv(1) == b""
        assert time.monotonic() - began < 3


def test_slow_second_head(strict: Gateway, engine: ScriptedEngine) -> None:
    """Nor is one where that happens after a good request."""
    with strict.connect() as one:
        one.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        read_until(one, b"alive")
        time.sleep(0.7)
        one.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n")
        assert b"HTTP/1.1 408" in read_until(one, b"request_timeout")


def test_compressed_body(strict: Gateway, engine: ScriptedEngine) -> None:
    """A small body that could unpack into a huge one is not unpacked."""
    body = gzip.compress(json.dumps(chat()).encode())
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    answer = strict.request("POST", "/v1/chat/completions", body, headers)
    assert answer.status == 415
    assert engine.seen == []


def test_large_header(strict: Gateway, engine: ScriptedEngine) -> None:
    """A head over the limit is a 431, whether it ends or not."""
    answer = strict.request("GET", "/v1/models", None, {"x-long": "x" * 9000})
    assert answer.status == 431
    assert answer.error["type"] == "invalid_request_error"
    with strict.connect() as one:
        one.sendall(b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nx-long: " + b"x" * 20_000)
        assert b"HTTP/1.1 431" in read_until(one, b"headers_too_large")


def test_long_address(strict: Gateway) -> None:
    assert strict.get("/v1/models/" + "x" * 9000).status in (414, 431)


def test_not_http(strict: Gateway) -> None:
    """Garbage is refused and harms nobody."""
    with strict.connect() as one:
        one.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20 + b"\r\n\r\n")
        assert b"HTTP/1.1 400" in read_until(one, b"invalid_http")
    assert strict.get("/healthz").status == 200


def test_connection_can_be_used_again_after_an_error(gateway: Gateway, engine: ScriptedEngine) -> None:
    """An error in one request is no reason to connect anew for the next."""
    body = json.dumps(chat()).encode()
    good = HEAD + b"content-length: %d\r\n\r\n" % len(body) + body
    with gateway.connect() as one:
        one.sendall(HEAD + b"content-length: 2\r\n\r\n{}")
        assert b"HTTP/1.1 400" in read_until(one, b"missing_parameter")
        one.sendall(good)
        assert b"HTTP/1.1 200" in read_until(one, b"Hello, world.")


def test_requests_in_a_row_on_one_connection(gateway: Gateway, engine: ScriptedEngine) -> None:
    """Pipelined requests are answered in order."""
    body = json.dumps(chat(stream=True)).encode()
    with gateway.connect() as one:
        one.sendall((HEAD + b"content-length: %d\r\n\r\n" % len(body) + body) * 3)
        one.settimeout(10)
        got = b""
        while got.count(b"[DONE]") < 3:
            got += one.recv(65536)
    assert got.count(b"HTTP/1.1 200") == 3
    assert len(engine.seen) == 3


def test_more_connections_than_allowed(new_gateway: NewGateway, engine: ScriptedEngine) -> None:
    """Connections over the limit are refused with a 503, and those that are open go on."""
    with new_gateway(ZEPHYR_MAX_CONNECTIONS="10") as gateway:
        idle: list[socket.socket] = [gateway.connect() for _ in range(12)]
        time.sleep(0.2)
        answer = gateway.get("/healthz")
        assert (answer.status, answer.error["code"]) == (503, "overloaded")
        assert answer.headers["retry-after"] and answer.headers["x-request-id"]
        for one in idle:
            one.close()
        gateway.wait_until_alive()
