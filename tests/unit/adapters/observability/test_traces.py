"""Which requests are traced, and what becomes of their spans."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from adapters.observability.traces import Trace, Tracing
from adapters.settings import TraceSettings
from tests.fakes.collector import Collector

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-%s"


def tracing(collector: Collector, **settings: object) -> Tracing:
    return Tracing(TraceSettings(traces_endpoint=collector.url, **settings), "1")  # type: ignore[arg-type]


def end(trace: Trace) -> None:
    trace.end({}, endpoint=None, error=None)


def figures(tracing: Tracing) -> list[str]:
    registry = CollectorRegistry()
    registry.register(tracing.metrics)
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if not line.startswith("#")]


@pytest.mark.parametrize(
    ("ratio", "parent", "recorded"),
    [(1.0, None, True), (0.0, None, False), (0.0, "01", True), (1.0, "00", False)],
)
def test_a_client_decides_and_otherwise_the_ratio(ratio: float, parent: str | None, recorded: bool) -> None:
    """What is not recorded is not sent either."""
    headers = [(b"traceparent", (PARENT % parent).encode())] if parent else []
    with Collector() as collector:
        traces = tracing(collector, traces_ratio=ratio)
        trace = traces.begin("POST", headers)
        assert trace.recorded == recorded
        assert trace.header(trace.begin("asked", calls=True)).endswith(b"\r\n")
        end(trace)
        traces.close()
        assert bool(collector.spans) == recorded


def test_every_span_is_counted_as_what_became_of_it() -> None:
    """Sent, or refused by the collector."""
    with Collector() as collector, Collector(refuses=True) as refusing:
        for one, counts in ((collector, (1, 0)), (refusing, (0, 1))):
            traces = tracing(one)
            end(traces.begin("POST", []))
            traces.close()
            assert figures(traces) == [
                f"zephyr_trace_spans_sent_total {counts[0]}.0",
                'zephyr_trace_spans_lost_total{reason="queue_full"} 0.0',
                f'zephyr_trace_spans_lost_total{{reason="export_failed"}} {counts[1]}.0',
            ]


def test_what_a_client_says_beside_its_span_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """A `tracestate` that is long or none is left out, and not quoted in a log; the span counts."""
    parent = [(b"traceparent", (PARENT % "01").encode())]
    with Collector() as collector:
        traces = tracing(collector)
        for state, kept in ((b"a=b", True), (b"a=" + b"b" * 600, False), (b"not one", False)):
            trace = traces.begin("POST", [*parent, (b"tracestate", state)])
            header = trace.header(trace.begin("asked", calls=True))
            assert trace.id in header.decode()
            assert (b"tracestate" in header) == kept
        traces.close()
    assert not caplog.records


def test_two_parents_are_none() -> None:
    """Which of them would be right, nobody knows."""
    headers = [(b"traceparent", (PARENT % "01").encode()), (b"traceparent", (PARENT % "01").encode())]
    with Collector() as collector:
        traces = tracing(collector)
        assert traces.begin("POST", headers).id not in PARENT
        assert traces.begin("POST", headers[:1]).id in PARENT
        traces.close()
