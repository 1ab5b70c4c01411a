"""The gateway's log: a line for each request, with its id and what became of it, and nothing of what was said."""

import json
import time
from collections.abc import Callable
from typing import Any

from tests.acceptance.gateway import Gateway, chat, read_until
from tests.acceptance.keys import Holder
from tests.fakes.engine import Script, ScriptedEngine

SECRET = "the-lighthouse-is-mine"


def lines(gateway: Gateway, wanted: Callable[[dict[str, Any]], bool], count: int = 1) -> list[dict[str, Any]]:
    """The lines for which `wanted` is true, once there are so many. Every line must be an object, and hold no secret."""
    limit = time.monotonic() + 5
    while True:
        text = gateway.log_text
        whole = text[: text.rfind("\n") + 1]
        found = [one for one in map(json.loads, whole.splitlines()) if wanted(one)]
        if len(found) >= count:
            assert SECRET not in whole
            return found
        assert time.monotonic() < limit, whole[-2000:]
        time.sleep(0.02)


def of(gateway: Gateway, request_id: str) -> dict[str, Any]:
    """The line of one request."""
    (line,) = lines(
        gateway, lambda one: (one.get("event_key"), one.get("request_id")) == ("request", request_id)
    )
    return line


def test_an_answer_is_a_line(gateway: Gateway, engine: ScriptedEngine) -> None:
    """By the id that its client has, and that its engine was sent."""
    engine.script = Script(pieces=(SECRET,))
    answer = gateway.post("/v1/chat/completions", chat(SECRET, stream=True))
    line = of(gateway, answer.headers["x-request-id"])
    assert engine.one().headers["x-request-id"] == line["request_id"]
    told = {"service": "gateway", "level": "info", "method": "POST", "status": 200, "outcome": "completed"}
    assert line | told | {"endpoint": "/v1/chat/completions", "tenant": "local"} == line
    assert line["ms"] > 0
    assert "trace_id" not in line


def test_a_refusal_is_a_line(gateway: Gateway) -> None:
    """A route is told as it is documented; what is none, is not told at all."""
    for method, path, status, endpoint in (
        ("POST", "/v1/chat/completions", 400, "/v1/chat/completions"),
        ("POST", f"/{SECRET}", 404, None),
        ("GET", f"/log/exchanges/{SECRET}?a={SECRET}", 400, "/log/exchanges/{id}"),
        ("DELETE", f"/v1/chat/completions/{SECRET}", 404, "/v1/chat/completions/{completion_id}"),
    ):
        answer = gateway.request(method, path, {SECRET: SECRET}, {"authorization": f"Bearer {SECRET}"})
        line = of(gateway, answer.headers["x-request-id"])
        assert (line["status"], line["endpoint"], line["outcome"]) == (status, endpoint, None)


def test_a_key_that_is_none_is_a_line(keyed: Gateway, admin: Holder) -> None:
    """Without the key, and without a tenant."""
    answer = keyed.post("/v1/chat/completions", chat(), authorization=f"Bearer {SECRET}")
    assert answer.status == 401
    line = of(keyed, answer.headers["x-request-id"])
    assert (line["status"], line["tenant"]) == (401, None)
    refused = admin.post("/v1/chat/completions", chat())
    assert of(keyed, refused.headers["x-request-id"])["tenant"] == "operator"
    assert admin.key not in keyed.log_text


def test_reading_is_no_line(gateway: Gateway) -> None:
    """Whoever polls would fill the log."""
    ids = {gateway.get(path).headers["x-request-id"] for path in ("/healthz", "/v1/models", "/metrics")}
    last = gateway.post("/v1/chat/completions", chat()).headers["x-request-id"]
    of(gateway, last)
    assert not ids & {one.get("request_id") for one in lines(gateway, lambda _: True)}


def test_a_client_that_leaves_is_a_line(gateway: Gateway, engine: ScriptedEngine) -> None:
    """As the conversation log has it."""
    engine.script = Script(pieces=("word ",) * 100, pause=0.02)
    with gateway.send(chat(stream=True)) as one:
        read_until(one, b"word")
    line = of(gateway, engine.one().headers["x-request-id"])
    assert (line["status"], line["outcome"]) == (200, "client_gone")


def test_generations_under_other_ids_are_lines(gateway: Gateway, engine: ScriptedEngine) -> None:
    """Of a body of many lines; they name the request that they were made for."""
    body = b'{"user_message": "one"}\n{"user_message": "two"}\n'
    answer = gateway.post("/zephyr/python", body, **{"content-type": "application/x-ndjson"})
    request_id = answer.headers["x-request-id"]
    made = lines(gateway, lambda one: one.get("request_id") == request_id and "generation" in one, 2)
    assert {one["generation"] for one in made} == {seen.headers["x-request-id"] for seen in engine.seen}
    assert [one["outcome"] for one in made] == ["completed"] * 2
