"""One request is followed through the gateway into a real vLLM, by its id in the logs and by its trace."""

import json
import time
from typing import Any

import pytest

from tests.acceptance.gateway import Gateway, chat
from tests.engine.engines import RealEngine
from tests.fakes.collector import Collector

pytestmark = pytest.mark.engine
TRACE, SPAN = "a" * 32, "b" * 16
SECRET = "the lighthouse is mine"


def about(text: str, request_id: str) -> list[dict[str, Any]]:
    """The lines of a log about one request; every line must be a JSON object."""
    lines = [json.loads(line) for line in text.splitlines()]
    assert all({"timestamp", "level", "service", "event"} <= line.keys() for line in lines)
    return [line for line in lines if line.get("request_id") == request_id]


def test_a_request_is_followed_into_the_engine(
    zephyr_shaped: Gateway, zephyr_shaped_engine: RealEngine, collector: Collector
) -> None:
    """Its id is in both logs, vLLM's span is below the gateway's, and what was said is in none of it."""
    answer = zephyr_shaped.post(
        "/v1/chat/completions", chat(SECRET, max_tokens=3), traceparent=f"00-{TRACE}-{SPAN}-01"
    )
    assert answer.status == 200
    request_id = answer.headers["x-request-id"]
    engine = collector.wait_for(lambda span: (span.trace, span.service) == (TRACE, "zephyr-engine"))
    collector.wait_for(lambda span: (span.trace, span.kind) == (TRACE, "server") and span is not engine)
    asked = next(one for one in collector.spans if (one.trace, one.kind) == (TRACE, "client"))
    assert (engine.name, engine.parent) == ("llm_request", asked.id)
    assert engine.attributes["gen_ai.usage.completion_tokens"] == 3
    assert request_id in engine.attributes["gen_ai.request.id"]
    (mine,) = about(zephyr_shaped.log_text, request_id)
    log = zephyr_shaped_engine.home / "logs" / "engine.log"
    limit = time.monotonic() + 5
    while not (engines := about(log.read_text(), request_id)):
        assert time.monotonic() < limit
        time.sleep(0.05)
    assert (mine["service"], mine["status"], mine["trace_id"]) == ("gateway", 200, TRACE)
    line = engines[0]
    assert (line["service"], line["endpoint"], line["status"]) == ("engine", "/v1/chat/completions", 200)
    assert line["trace_id"] == TRACE
    texts = (collector.bytes, log.read_bytes(), zephyr_shaped.log_text.encode())
    assert not any(SECRET.encode() in text for text in texts)


def test_the_engine_traces_only_what_it_is_asked_to(collector: Collector, zephyr_shaped: Gateway) -> None:
    """Not its own start, and not the questions of the gateway and the host."""
    ours = {one.trace for one in collector.spans if one.service == "zephyr-gateway"}
    assert {one.trace for one in collector.spans} <= ours
