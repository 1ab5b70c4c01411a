"""Requests as no client library would send them: each is refused in the API's shape, or its connection is closed."""

import json
import socket
from collections.abc import Iterator

import pytest

from tests.acceptance import raw_requests
from tests.acceptance.conftest import NewGateway
from tests.acceptance.gateway import Gateway
from tests.fakes.engine import ScriptedEngine

DOORS = (
    "/v1/completions",
    "/v1/responses",
    "/v1/conversations",
    "/zephyr/raw",
    "/zephyr/structured-code-doc",
)


@pytest.fixture(scope="module")
def quick(new_gateway: NewGateway) -> Iterator[Gateway]:
    """A gateway that does not wait long for the rest of a request. At the end its log shows no crash."""
    with new_gateway(ZEPHYR_BODY_TIMEOUT="1") as gateway:
        yield gateway
        assert "Traceback" not in gateway.log_text
        assert '"level":"error"' not in gateway.log_text
        assert '"crash"' not in gateway.log_text


def answer_to(gateway: Gateway, request: bytes) -> tuple[int, bytes, bytes]:
    """The status, the body and whatever comes after it; 0 where the connection is closed without an answer."""
    with gateway.connect() as one:
        one.sendall(request)
        got = b""
        while b"\r\n\r\n" not in got:
            if not (piece := one.recv(65536)):
                return 0, b"", got
            got += piece
        head, _, body = got.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        while len(body) < length:
            body += one.recv(65536)
        one.settimeout(0.02)
        try:
            more = one.recv(65536)
        except TimeoutError:
            more = b""
        return int(head.split(b" ")[1]), body[:length], body[length:] + more


def check_refused(gateway: Gateway, request: bytes) -> int:
    status, body, after = answer_to(gateway, request)
    assert status == 0 or 400 <= status < 500, (status, body)
    assert after == b"", "there is a second answer"
    if status:
        assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}
        assert json.loads(body)["error"]["type"] in ("invalid_request_error", "permission_error")
    return status


@pytest.mark.parametrize("name", raw_requests.FRAMING)
def test_where_a_request_ends_is_never_a_matter_of_opinion(
    quick: Gateway, engine: ScriptedEngine, name: str
) -> None:
    """What is hidden behind it is not answered, and the connection takes no more."""
    request = raw_requests.FRAMING[name]
    check_refused(quick, request)
    with quick.connect() as one:
        one.sendall(request)
        got = b""
        while piece := one.recv(65536):  # until it is closed
            got += piece
    assert got.count(b"HTTP/1.1 ") <= 1
    assert engine.seen == []


@pytest.mark.parametrize("name", raw_requests.HEADS)
def test_head_that_can_be_read_in_two_ways_is_refused(
    quick: Gateway, engine: ScriptedEngine, name: str
) -> None:
    check_refused(quick, raw_requests.HEADS[name])


@pytest.mark.parametrize("name", raw_requests.ADDRESSES)
def test_address_that_is_not_on_the_list_leads_nowhere(
    quick: Gateway, engine: ScriptedEngine, name: str
) -> None:
    check_refused(quick, raw_requests.ADDRESSES[name])
    assert engine.seen == []


@pytest.mark.parametrize("name", raw_requests.BODIES)
def test_body_that_the_api_does_not_know_is_refused(
    quick: Gateway, engine: ScriptedEngine, name: str
) -> None:
    """With a 400 on the chat endpoint, before anything is generated; at the other doors with any refusal or none."""
    body = raw_requests.BODIES[name]
    assert check_refused(quick, raw_requests.post(body)) == 400
    assert engine.seen == []
    for door in DOORS:
        answer = quick.post(door, body, **{"content-type": "application/json"})
        assert answer.status < 500, (door, answer.body)
        if answer.status != 200:
            assert answer.error["type"] == "invalid_request_error", (door, answer.body)


@pytest.mark.parametrize("name", raw_requests.COMPRESSED)
def test_compressed_bodies_are_refused_at_every_door(
    quick: Gateway, engine: ScriptedEngine, name: str
) -> None:
    """64 KiB that would unpack to 64 MiB are not unpacked."""
    header = raw_requests.COMPRESSED[name]
    before = quick.memory_bytes()
    for door in ("/v1/chat/completions", *DOORS, "/nowhere"):
        chunks = b"transfer" in header
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(raw_requests.BOMB), raw_requests.BOMB)
        request = raw_requests.post(
            body if chunks else raw_requests.BOMB, header, door.encode(), length=not chunks
        )
        assert check_refused(quick, request) == 415, door
    assert quick.memory_bytes() - before < 16 * 2**20
    assert engine.seen == []


def test_the_last_of_two_members_counts_everywhere(quick: Gateway, engine: ScriptedEngine) -> None:
    """The engine, the log and the checks before them read the same one."""
    body = raw_requests.asking(b'"max_tokens":5,"max_tokens":7')
    assert quick.post("/v1/chat/completions", body, **{"content-type": "application/json"}).status == 200
    assert engine.one().json["max_tokens"] == 7
    assert engine.one().body.count(b'"max_tokens"') == 1


def test_old_clients_need_name_no_host(quick: Gateway) -> None:
    """HTTP/1.0 had none; a load balancer's probe may still be one."""
    with quick.connect() as one:
        one.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert one.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_host_is_named_once_wherever_names_are_not_checked(
    new_gateway: NewGateway, engine: ScriptedEngine
) -> None:
    with new_gateway(ZEPHYR_HOST="0.0.0.0", ZEPHYR_REQUIRE_KEYS="false") as gateway:
        for name in ("two hosts", "no host"):
            assert check_refused(gateway, raw_requests.HEADS[name]) == 400
        with socket.create_connection(("127.0.0.1", gateway.port)) as one:
            one.sendall(raw_requests.get(b"/healthz", b"host: any.example:80\r\n"))
            assert one.recv(65536).startswith(b"HTTP/1.1 200")
