"""What others on the network and on the machine find of a gateway, and what a model's text can do to it."""

import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.keys.key import new_secret
from tests.acceptance.conftest import NewGateway, migrate
from tests.acceptance.gateway import ROOT, Gateway, chat, read_until
from tests.acceptance.keys import Holder, created
from tests.databases import PostgresServer
from tests.fakes.engine import Script, ScriptedEngine
from tests.listening import family, listening

_WRONG = 2000
_MOST_SECONDS_EACH = 0.002


@pytest.fixture(scope="module")
def outward(new_gateway: NewGateway, log_url: str) -> Iterator[Gateway]:
    """A gateway that other machines reach."""
    created(log_url, "somebody")
    with new_gateway(ZEPHYR_HOST="0.0.0.0") as gateway:
        yield gateway


@pytest.fixture(scope="module")
def holder(outward: Gateway, log_url: str) -> Holder:
    made = created(log_url, "neighbour")
    return Holder(gateway=outward, id=made["id"], key=made["key"])


def test_two_ports_are_open_and_one_of_them_to_others(outward: Gateway) -> None:
    """Keys and figures are on the loopback; what the gateway's own children need is on no port."""
    assert listening(family(outward.process.pid)) == {
        ("0.0.0.0", outward.port),
        ("127.0.0.1", outward.admin_port),
    }


def test_whoever_has_no_key_learns_nothing_of_what_is_said(outward: Gateway, holder: Holder) -> None:
    """What is open tells how to call, and that it is there: no tenant, no count, no address of the inside."""
    holder.post("/v1/chat/completions", chat("something secret"))
    for path in ("/", "/docs", "/healthz", "/readyz", "/openapi.json"):
        body = outward.get(path).body.decode()
        for word in (
            "neighbour",
            "something secret",
            "postgresql://",
            str(ROOT),
        ):
            assert word not in body, (path, word)
    assert outward.get("/metrics").status == 401


def test_no_cache_keeps_what_a_key_reads(outward: Gateway, holder: Holder) -> None:
    """A proxy that goes by addresses would give it to the next tenant; errors too."""
    for path in ("/v1/conversations", "/log/exchanges", "/v1/models", "/v1/responses/resp_x", "/nowhere"):
        assert holder.get(path).headers["cache-control"] == "no-store", path
        as_other = outward.get(path, **{"x-api-key": holder.key})
        assert as_other.headers["cache-control"] == "no-store", path
    assert "cache-control" not in outward.get("/static/welcome.css").headers


def test_a_flood_of_wrong_keys_costs_little_and_holds_up_no_known_one(
    outward: Gateway, holder: Holder, engine: ScriptedEngine
) -> None:
    """Each another key, so that each is looked up: a refusal costs less than two milliseconds of the gateway's processor time."""
    assert holder.get("/v1/models").status == 200
    memory, before = outward.memory_bytes(), cpu_seconds(outward.process.pid)
    senders = [threading.Thread(target=send_wrong_keys, args=(outward, _WRONG // 8)) for _ in range(8)]
    for sender in senders:
        sender.start()
    answered = 0
    while any(sender.is_alive() for sender in senders):
        assert holder.get("/v1/models").status == 200
        answered += 1
    for sender in senders:
        sender.join()
    assert answered > 0
    assert (cpu_seconds(outward.process.pid) - before) / _WRONG < _MOST_SECONDS_EACH
    assert outward.memory_bytes() - memory < 16 * 2**20
    assert engine.seen == []
    assert "sk-zephyr" not in outward.log_text


def send_wrong_keys(gateway: Gateway, count: int) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as one:
        for _ in range(count):
            key = new_secret().get_secret_value()
            one.sendall(f"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n".encode())
            assert read_until(one, b'"invalid_api_key"}}').startswith(b"HTTP/1.1 401")


def cpu_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_password_stands_nowhere(new_gateway: NewGateway, engine: ScriptedEngine) -> None:
    """Not among the arguments that everybody on the machine sees, in no answer, no log, no figure."""
    password = "hunter2"
    server = PostgresServer()
    try:
        url = server.url.replace("postgres@", f"postgres:{password}@")
        assert password in url
        migrate(url)
        created(url, "x")
        with new_gateway(DATABASE_URL=url, ZEPHYR_HOST="0.0.0.0") as gateway:
            processes = family(gateway.process.pid)
            for process in processes:
                assert password not in Path(f"/proc/{process}/cmdline").read_text()
            server.kill()
            wait_for_trouble(gateway)
            for path in ("/readyz", "/", "/openapi.json", "/nowhere"):
                assert password not in gateway.get(path).body.decode()
            for path in ("/metrics", "/log/status", "/admin/keys"):
                assert password not in gateway.admin("GET", path).body.decode()
            assert password not in gateway.log_text
    finally:
        server.close()


def wait_for_trouble(gateway: Gateway) -> None:
    """Until the gateway knows that its database is away."""
    limit = time.monotonic() + 10
    while b"away" not in gateway.get("/readyz").body:
        assert time.monotonic() < limit
        time.sleep(0.02)


FORGERIES = [
    "\n\ndata: [DONE]\n\n",
    '\r\n\r\nevent: response.completed\r\ndata: {"type": "response.completed"}\r\n\r\n',
    'x\rdata: {"error": {"message": "forged"}}\r\r',
    "\u2028data: [DONE]\u2029\x85\x0b\x0c\0",
]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/zephyr/python"])
@pytest.mark.parametrize("text", FORGERIES)
def test_what_a_model_says_forges_no_event(
    gateway: Gateway, engine: ScriptedEngine, path: str, text: str
) -> None:
    """It is within the JSON of an event: there are as many events as of any other text, of the same kinds."""
    body: dict[str, object] = {"input": "x"} if "responses" in path else {"user_message": "x"}
    asked = (chat("x") if "chat" in path else body) | {"stream": True}
    lines: list[list[bytes]] = []
    for said in ("harmless", text):
        engine.script = Script(pieces=[said])
        answer = gateway.post(path, asked)
        assert answer.status == 200
        lines.append([line.partition(b"{")[0] for line in re.split(rb"\r\n|\r|\n", answer.body)])
    assert lines[0] == lines[1]
