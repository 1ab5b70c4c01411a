"""Traces of requests, sent to a collector by OTLP over HTTP. Imported only where `ZEPHYR_TRACES_ENDPOINT` is given."""

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from adapters.settings import TraceSettings

_EXPORT_SECONDS = 5.0
_LAST_SECONDS = 2.0  # for what still waits when the gateway stops
_BATCH = 512
_DELAY_MILLISECONDS = 1000
_W3C = TraceContextTextMapPropagator()  # which passes over a header of more than 512 bytes
logging.getLogger("opentelemetry.trace").setLevel(logging.ERROR)  # its warnings quote what a client sent

Attributes = Mapping[str, AttributeValue]


@dataclass(kw_only=True, slots=True)
class Exported:
    """What became of the spans so far."""

    sent: int = 0
    failed: int = 0
    """The collector did not take them."""
    dropped: int = 0
    """As many waited as may."""


class Tracing:
    """Begins traces, and sends their spans away in the background."""

    def __init__(self, settings: TraceSettings, version: str) -> None:
        assert settings.traces_endpoint is not None
        exported = Exported()
        self.metrics = TraceMetrics(exported)
        exporter = _Exporter(settings.traces_endpoint, exported)
        resource = Resource.create({"service.name": "zephyr-gateway", "service.version": version})
        # Not the process's global provider: libraries would add spans of their own, with what was searched for in them.
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(settings.traces_ratio)),
            resource=resource,
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(_Queue(exporter, settings.traces_queue_limit, exported))
        self._tracer = self._provider.get_tracer("zephyr", version)

    def begin(self, method: str, headers: Iterable[tuple[bytes, bytes]]) -> "Trace":
        """The trace of a request that has just come, or its part of the client's."""
        return Trace(self._tracer, method, _parent(headers))

    def close(self) -> None:
        """Send what waits, for two seconds at most: a collector that is away keeps no gateway from stopping."""
        last = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        last.start()
        last.join(_LAST_SECONDS)


class Trace:
    """The gateway's part of one trace: a span for the request, and others below it."""

    def __init__(self, tracer: Tracer, method: str, parent: Context) -> None:
        self._tracer = tracer
        self._method = method
        attributes: Attributes = {"http.request.method": method}
        self._root = tracer.start_span(method, context=parent, kind=SpanKind.SERVER, attributes=attributes)
        self._context = set_span_in_context(self._root)
        self._phase: Span | None = None
        self.recorded = self._root.is_recording()
        """Whether it was chosen to be sent."""
        self.id = format_trace_id(self._root.get_span_context().trace_id)

    def begin(self, name: str, *, calls: bool = False, attributes: Attributes | None = None) -> Span:
        """Begin a span below that of the request; whoever begins it ends it. One that `calls` is another program's parent."""
        if not self.recorded:
            return self._root
        kind = SpanKind.CLIENT if calls else SpanKind.INTERNAL
        return self._tracer.start_span(name, context=self._context, kind=kind, attributes=attributes)

    def enter(self, phase: str | None) -> None:
        """End the span of what was done so far, and begin one for what comes."""
        if self._phase is not None:
            self._phase.end()
        self._phase = None if phase is None or not self.recorded else self.begin(phase)

    def end(self, attributes: Attributes, *, endpoint: str | None, error: str | None) -> None:
        """End the span of the request, with what it came to."""
        self.enter(None)
        if self.recorded:
            if endpoint is not None:
                self._root.update_name(f"{self._method} {endpoint}")
                self._root.set_attribute("http.route", endpoint)
            self._root.set_attributes(attributes)
            if error is not None:
                self.fail(self._root, error)
        self._root.end()

    @staticmethod
    def fail(span: Span, error: str) -> None:
        """Say that what the span stands for failed; by a kind of error, never its text."""
        span.set_attribute("error.type", error)
        span.set_status(StatusCode.ERROR)

    @staticmethod
    def header(span: Span) -> bytes:
        """The header lines by which whoever is asked goes on with the trace below this span."""
        context = span.get_span_context()
        ids = f"{format_trace_id(context.trace_id)}-{format_span_id(context.span_id)}"
        lines = f"traceparent: 00-{ids}-{context.trace_flags:02x}\r\n"
        if context.trace_state:
            lines += f"tracestate: {context.trace_state.to_header()}\r\n"
        return lines.encode("ascii")


class TraceMetrics(Collector):
    """What became of the spans, for Prometheus."""

    def __init__(self, exported: Exported) -> None:
        self._exported = exported

    def collect(self) -> Iterator[Metric]:
        """The figures at this moment."""
        yield CounterMetricFamily(
            "zephyr_trace_spans_sent", "Spans that the collector took.", value=self._exported.sent
        )
        lost = CounterMetricFamily(
            "zephyr_trace_spans_lost",
            "Spans that were dropped, because as many waited as may (`queue_full`) or the collector did not take them "
            "(`export_failed`).",
            labels=["reason"],
        )
        lost.add_metric(["queue_full"], self._exported.dropped)
        lost.add_metric(["export_failed"], self._exported.failed)
        yield lost


class _Exporter(SpanExporter):
    """Counts what the library's exporter does."""

    def __init__(self, endpoint: str, exported: Exported) -> None:
        self._to = OTLPSpanExporter(endpoint=endpoint, timeout=_EXPORT_SECONDS)
        self._exported = exported
        self.taken = 0
        """Spans that wait no more."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        result = SpanExportResult.FAILURE
        try:
            result = self._to.export(spans)
        finally:
            if result is SpanExportResult.SUCCESS:
                self._exported.sent += len(spans)
            else:
                self._exported.failed += len(spans)
        return result

    def shutdown(self) -> None:
        self._to.shutdown()  # type: ignore[no-untyped-call]


class _Queue(BatchSpanProcessor):
    """The library's queue, which says in a line of log for each span that it is full; here they are counted."""

    def __init__(self, exporter: _Exporter, limit: int, exported: Exported) -> None:
        super().__init__(
            exporter,
            max_queue_size=limit,
            max_export_batch_size=min(_BATCH, limit),
            schedule_delay_millis=_DELAY_MILLISECONDS,
        )
        self._exporter = exporter
        self._limit = limit
        self._exported = exported
        self._given = 0

    def on_end(self, span: ReadableSpan) -> None:
        if self._given - self._exporter.taken >= self._limit:
            self._exported.dropped += 1
            return
        self._given += 1
        super().on_end(span)


def _parent(headers: Iterable[tuple[bytes, bytes]]) -> Context:
    """The client's span, if it names one as https://www.w3.org/TR/trace-context/ wants; otherwise none."""
    parents: list[str] = []
    states: list[str] = []
    for name, value in headers:
        if name == b"traceparent":
            parents.append(value.decode("latin-1"))
        elif name == b"tracestate":
            states.append(value.decode("latin-1"))
    if len(parents) != 1:
        return Context()
    return _W3C.extract({"traceparent": parents, "tracestate": states}, Context())
