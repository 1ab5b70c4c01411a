"""JSONL: many requests in one body."""

import json
import time

import pytest

from tests.acceptance.conftest import NewGateway
from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import Gateway, read_until
from tests.acceptance.zephyr import logged, results
from tests.fakes.engine import Script, ScriptedEngine

LINES = {"content-type": "application/x-ndjson"}


def lines(*bodies: object) -> bytes:
    """A body with one request a line."""
    return b"".join(json.dumps(body).encode() + b"\n" for body in bodies)


@pytest.mark.parametrize("content_type", ["application/x-ndjson", "application/jsonl; charset=utf-8"])
def test_each_line_is_answered_under_its_index(
    gateway: Gateway, engine: ScriptedEngine, exchanges: Exchanges, content_type: str
) -> None:
    engine.scripts = {"b": Script(pieces=("B",))}
    body = lines({"user_message": "a"}, {"user_message": "b\u2028"}, {"user_message": "b"})
    found = results(gateway.post("/zephyr/python", body, **{"content-type": content_type}))
    assert {index: line["response"] for index, line in found.items()} == {
        0: "Hello, world.",
        1: "Hello, world.",
        2: "B",
    }
    assert [logged(exchanges, found[index])["input"][1]["content"] for index in range(3)] == [
        "a",
        "b\u2028",
        "b",
    ]


def test_a_bad_line_gives_an_error_line_and_stops_no_other(gateway: Gateway, engine: ScriptedEngine) -> None:
    engine.scripts = {"dies": Script(ending="reset", stop_after=1)}
    body = (
        lines({"user_message": "a"}, {}, {"user_message": "x", "stream": True})
        + b"nonsense\n\n  \n[1]\n"
        + lines({"user_message": "dies"}, {"user_message": "z", "conversation": "no"}, {"user_message": "z"})
    )
    found = results(gateway.post("/zephyr/python", body, **LINES))
    assert sorted(found) == list(range(8))
    assert found[0]["response"] == found[7]["response"] == "Hello, world."
    params = {index: line["error"]["param"] for index, line in found.items() if "error" in line}
    assert params == {1: "user_message", 2: "stream", 3: None, 4: None, 5: None, 6: "conversation"}
    assert found[5]["error"]["code"] == "engine_failed"


def test_a_line_is_sent_as_soon_as_it_is_done(gateway: Gateway, engine: ScriptedEngine) -> None:
    engine.scripts = {"slow": Script(silence=5)}
    body = lines({"user_message": "slow"}, {"user_message": "fast"})
    with gateway.connect() as one:
        head = f"POST /zephyr/python HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/jsonl\r\ncontent-length: {len(body)}\r\n\r\n"
        one.sendall(head.encode() + body)
        one.settimeout(2)
        assert b'{"index":1,' in read_until(one, b"Hello, world.")
        left = time.monotonic()
    slow = next(seen for seen in engine.seen if seen.json["messages"][1]["content"] == "slow")
    assert slow.wait() == "aborted"
    assert slow.ended - left < 1.0


def test_lines_run_together_but_not_more_than_the_setting_says(
    new_gateway: NewGateway, engine: ScriptedEngine
) -> None:
    engine.script = Script(silence=0.2)
    with new_gateway(ZEPHYR_LINES_AT_ONCE="3", ZEPHYR_MAX_LINES="9") as gateway:
        answer = gateway.post("/zephyr/python", lines(*[{"user_message": "x"}] * 9), **LINES)
        assert len(results(answer)) == 9
        arrived = sorted(seen.arrived for seen in engine.seen)
        open_then = [sum(seen.arrived <= moment < seen.ended for seen in engine.seen) for moment in arrived]
        assert max(open_then) == 3
        many = gateway.post("/zephyr/python", lines(*[{"user_message": "x"}] * 10), **LINES)
        assert many.status == 400
        assert "9" in many.error["message"]


@pytest.mark.parametrize("body", [b"", b"\n \n"])
def test_a_body_without_lines_is_refused(gateway: Gateway, engine: ScriptedEngine, body: bytes) -> None:
    assert gateway.post("/zephyr/python", body, **LINES).status == 400


def test_documents_come_as_lines_too(gateway: Gateway, engine: ScriptedEngine) -> None:
    body = lines({"user_message": "a"}, {"user_message": "b"})
    found = results(gateway.post("/zephyr/structured-code-doc", body, **LINES))
    assert all(line["response"].startswith("## Overview\n\n") for line in found.values())
