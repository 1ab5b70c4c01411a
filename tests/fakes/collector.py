"""A scripted collector of traces: OTLP over real HTTP, read with the protocol's own definitions."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1 import trace_pb2


@dataclass(frozen=True, kw_only=True)
class Span:
    """One span that has come."""

    name: str
    trace: str
    id: str
    parent: str
    """Empty where it has none."""
    kind: str
    began: int
    ended: int
    """In nanoseconds since 1970."""
    failed: bool
    attributes: dict[str, Any]
    service: str


class Collector:
    """Keeps the spans that it is sent, and the bytes that they came in."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.spans: list[Span] = []
        self.bytes = b""
        """All that has come, to whatever address."""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.bytes += body
                if self.path != "/v1/traces" or self.headers["content-type"] != "application/x-protobuf":
                    self.send_error(404)
                    return
                if refuses:
                    self.send_error(400)
                    return
                collector.take(body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Print nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.05], daemon=True)

    @property
    def url(self) -> str:
        """Its address, as ZEPHYR_TRACES_ENDPOINT has it."""
        return f"http://127.0.0.1:{self._server.server_port}/v1/traces"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, body: bytes) -> None:
        """Read one request."""
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = _values(resource.resource.attributes)["service.name"]
            for scope in resource.scope_spans:
                self.spans += [_span(one, service) for one in scope.spans]

    def wait_for(self, wanted: Callable[[Span], bool], seconds: float = 10.0) -> Span:
        """The span for which `wanted` is true, once it has come."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            for span in list(self.spans):
                if wanted(span):
                    return span
            time.sleep(0.02)
        raise AssertionError(f"no such span among {[span.name for span in self.spans]}")

    def of_trace(self, trace: str) -> dict[str, Span]:
        """The spans of one trace, by their names."""
        return {span.name: span for span in self.spans if span.trace == trace}


def _span(one: trace_pb2.Span, service: str) -> Span:
    return Span(
        name=one.name,
        trace=one.trace_id.hex(),
        id=one.span_id.hex(),
        parent=one.parent_span_id.hex(),
        kind=trace_pb2.Span.SpanKind.Name(one.kind).removeprefix("SPAN_KIND_").lower(),
        began=one.start_time_unix_nano,
        ended=one.end_time_unix_nano,
        failed=one.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        attributes=_values(one.attributes),
        service=service,
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {attribute.key: _value(attribute.value) for attribute in attributes}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind) if kind else None
