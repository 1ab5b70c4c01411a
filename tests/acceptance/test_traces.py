"""Traces: a request is followed from its client to the engine, and a collector that is away harms nobody."""

import re
import socket
import time
from collections.abc import Iterator

import pytest

from tests.acceptance.conftest import NewGateway
from tests.acceptance.gateway import Gateway, chat
from tests.fakes.collector import Collector
from tests.fakes.engine import Script, ScriptedEngine

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SECRET = "the-lighthouse-is-mine"
BAD = {
    "no hex": f"00-{TRACE[:-1]}g-{SPAN}-01",
    "zero trace": f"00-{'0' * 32}-{SPAN}-01",
    "zero span": f"00-{TRACE}-{'0' * 16}-01",
    "version ff": f"ff-{TRACE}-{SPAN}-01",
    "capitals": f"00-{TRACE.upper()}-{SPAN}-01",
    "too much": f"00-{TRACE}-{SPAN}-01-more",
    "too long": f"cc-{TRACE}-{SPAN}-01-" + "x" * 600,
    "twice": f"00-{TRACE}-{SPAN}-01, 00-{TRACE}-{SPAN}-01",
}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def traced(new_gateway: NewGateway, collector: Collector) -> Iterator[Gateway]:
    """A gateway that traces every request, with one place at the engine; the framework is told to trace too."""
    with new_gateway(
        ZEPHYR_TRACES_ENDPOINT=collector.url,
        ZEPHYR_ENGINE_CONCURRENCY="1",
        ZEPHYR_ENGINE_SPARE="0",
        OTEL_EXPORTER_OTLP_ENDPOINT=collector.url.removesuffix("/v1/traces"),
        FASTAPI_OTEL_AUTO_CONFIGURE="true",
    ) as gateway:
        yield gateway
        gateway.terminate()  # what waits is sent
        gateway.process.wait(15)
    assert SECRET.encode() not in collector.bytes
    assert SECRET not in gateway.log_text


def parts(header: str) -> tuple[str, str, bool]:
    """Trace, span and whether it is recorded, of a `traceparent`."""
    match = re.fullmatch(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})", header)
    assert match, header
    return match[1], match[2], bool(int(match[3], 16) & 1)


@pytest.mark.parametrize("stream", [False, True])
def test_a_trace_goes_on_from_the_client_to_the_engine(
    traced: Gateway, collector: Collector, engine: ScriptedEngine, stream: bool
) -> None:
    """Each part below the request's own span, which is below the client's; what the engine is asked names ours."""
    trace = TRACE[:-1] + str(int(stream))
    engine.script = Script(pieces=(SECRET, "!"), cached_tokens=2)
    answer = traced.post(
        "/v1/chat/completions",
        chat(SECRET, stream=stream),
        traceparent=f"00-{trace}-{SPAN}-01",
        tracestate="vendor=value",
        authorization=f"Bearer {SECRET}",
    )
    assert answer.status == 200
    root = collector.wait_for(lambda span: span.trace == trace and span.kind == "server")
    spans = collector.of_trace(trace)
    asked = spans.pop(f"chat {engine.model}")
    assert set(spans) == {root.name, "identify", "validate", "record"}
    assert (root.name, root.parent) == ("POST /v1/chat/completions", SPAN)
    assert {span.parent for span in (asked, *spans.values()) if span is not root} == {root.id}
    assert parts(engine.one().headers["traceparent"]) == (trace, asked.id, True)
    assert engine.one().headers["tracestate"] == "vendor=value"
    order = [root.began, spans["identify"].began, spans["validate"].began, asked.began]
    assert order == sorted(order)
    assert asked.ended <= spans["record"].ended <= root.ended
    assert root.attributes["zephyr.request_id"] == answer.headers["x-request-id"]
    assert root.attributes["http.response.status_code"] == 200
    figures = asked.attributes
    assert figures["gen_ai.request.model"] == figures["gen_ai.response.model"] == engine.model
    assert figures["gen_ai.response.finish_reasons"] == ["stop"]
    assert figures["gen_ai.usage.output_tokens"] == 2
    assert figures["gen_ai.usage.cache_read.input_tokens"] == 2
    assert figures["zephyr.engine_request_id"] == engine.one().headers["x-request-id"]
    assert ("gen_ai.response.time_to_first_chunk" in figures) == stream
    assert not any(span.failed for span in collector.of_trace(trace).values())


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_traceparent_that_is_none_is_passed_over(traced: Gateway, engine: ScriptedEngine, bad: str) -> None:
    """The request begins a trace of its own (https://www.w3.org/TR/trace-context/)."""
    assert traced.post("/v1/chat/completions", chat(), traceparent=bad, tracestate="a=b").status == 200
    trace, _, recorded = parts(engine.one().headers["traceparent"])
    assert trace != TRACE
    assert recorded
    assert "tracestate" not in engine.one().headers


def test_a_client_that_does_not_record_is_not_recorded(
    traced: Gateway, collector: Collector, engine: ScriptedEngine
) -> None:
    """The engine is told so, and its lines of log name the request all the same."""
    trace = TRACE[::-1]
    traced.post("/v1/chat/completions", chat(), traceparent=f"00-{trace}-{SPAN}-00")
    assert parts(engine.one().headers["traceparent"])[::2] == (trace, False)
    engine.forget()
    traced.post("/v1/chat/completions", chat())
    later = parts(engine.one().headers["traceparent"])[0]
    collector.wait_for(lambda span: span.trace == later and span.kind == "server")
    assert not collector.of_trace(trace)


def test_waiting_and_failing_are_seen(traced: Gateway, collector: Collector, engine: ScriptedEngine) -> None:
    """The second request waits for the first, and its engine breaks."""
    engine.scripts = {"slow": Script(silence=0.3), "broken": Script(stop_after=1, ending="close")}
    with traced.send(chat("slow")):
        engine.wait_for(1)
        answer = traced.post("/v1/chat/completions", chat("broken", stream=True))
    assert b'"error"' in answer.body
    trace = parts(engine.wait_for(2)[1].headers["traceparent"])[0]
    root = collector.wait_for(lambda span: span.trace == trace and span.kind == "server")
    spans = collector.of_trace(trace)
    assert spans["queue"].parent == root.id
    assert spans["queue"].ended - spans["queue"].began > 100_000_000
    assert root.failed
    assert spans[f"chat {engine.model}"].failed
    assert spans[f"chat {engine.model}"].attributes["error.type"] == "failed"


def test_refusals_are_traced_without_what_was_asked(
    traced: Gateway, collector: Collector, engine: ScriptedEngine
) -> None:
    """Neither an address nor a field that nobody knows gets into a span."""
    asked: dict[str, tuple[str, dict[str, object]]] = {
        "POST": (f"/{SECRET}", {}),
        "POST /v1/chat/completions": ("/v1/chat/completions", {SECRET: SECRET}),
        "POST /log/exchanges/{id}/feedback": (f"/log/exchanges/{SECRET}/feedback", {}),
    }
    traces = {name: f"{number:032x}" for number, name in enumerate(asked, 1)}
    for name, (path, body) in asked.items():
        traced.post(path, body, traceparent=f"00-{traces[name]}-{SPAN}-01")
    for name, trace in traces.items():
        root = collector.wait_for(lambda span, trace=trace: (span.trace, span.kind) == (trace, "server"))  # type: ignore[misc]
        assert root.name == name
        assert root.attributes["http.response.status_code"] in (400, 404)
    assert SECRET.encode() not in collector.bytes


def test_what_is_searched_for_is_in_no_trace(traced: Gateway, collector: Collector) -> None:
    """Requests that only read have none; the framework's own would have the whole address. See `traced`."""
    assert traced.get(f"/log/search?q={SECRET}").status == 200
    traced.get(f"/log/exchanges?limit={SECRET}")


def test_a_document_of_many_generations_is_one_trace(
    traced: Gateway, collector: Collector, engine: ScriptedEngine
) -> None:
    """Each line's generation goes to the engine by an id of its own, which its span tells."""
    lines = b'{"user_message": "one"}\n{"user_message": "two"}\n'
    answer = traced.post("/zephyr/python", lines, **{"content-type": "application/x-ndjson"})
    assert answer.status == 200
    seen = engine.wait_for(2)
    traces = {parts(one.headers["traceparent"])[0] for one in seen}
    assert len(traces) == 1
    trace = traces.pop()
    collector.wait_for(lambda span: span.trace == trace and span.kind == "server")
    asked = [one for one in collector.spans if one.trace == trace and one.kind == "client"]
    ids = {one.headers["x-request-id"] for one in seen}
    assert {one.attributes["zephyr.engine_request_id"] for one in asked} == ids


def test_a_collector_that_is_away_harms_nobody(new_gateway: NewGateway, engine: ScriptedEngine) -> None:
    """Answers come as ever, what is lost is counted, and the gateway stops in time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and never answers
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces"
        with new_gateway(ZEPHYR_TRACES_ENDPOINT=address, ZEPHYR_TRACES_QUEUE_LIMIT="8") as gateway:
            began = time.monotonic()
            for _ in range(20):
                assert gateway.post("/v1/chat/completions", chat()).status == 200
            assert time.monotonic() - began < 15  # each batch is tried for 5 s
            figures = gateway.get("/metrics").body.decode()
            lost = re.search(r'zephyr_trace_spans_lost_total\{reason="queue_full"\} (\S+)', figures)
            assert lost
            assert float(lost[1]) >= 20 * 4 - 2 * 8
            assert "zephyr_trace_spans_sent_total 0.0" in figures
            began = time.monotonic()
            gateway.terminate()
            gateway.process.wait(10)
            assert time.monotonic() - began < 6


def test_without_a_collector_nothing_is_passed_on(gateway: Gateway, engine: ScriptedEngine) -> None:
    """A client's header stays here, and there are no figures of spans."""
    gateway.post("/v1/chat/completions", chat(), traceparent=f"00-{TRACE}-{SPAN}-01")
    assert "traceparent" not in engine.one().headers
    assert b"zephyr_trace" not in gateway.get("/metrics").body
