"""The spans of one generation, by the names of https://opentelemetry.io/docs/specs/semconv/gen-ai/ where it has them."""

import asyncio
import time
from typing import TYPE_CHECKING

from adapters.completions.generation import Generation
from adapters.conversations.exchange import Exchange, Outcome
from adapters.observability import requests

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_OPERATIONS = {"/v1/chat/completions": "chat", "/v1/completions": "text_completion"}
_WELL = (Outcome.COMPLETED, Outcome.LENGTH)


class Spans:
    """What a generation passes, in this order: the queue, the engine, the record. Without a trace, nothing."""

    def __init__(self, generation: Generation, model: str) -> None:
        request = requests.current()
        self._trace = request.trace if request is not None else None
        self._generation = generation
        self._model = model
        self._open: Span | None = None
        self._asked_at: float | None = None
        self._first: float | None = None
        requests.enter(None)  # what came before is the request's own

    def queued(self) -> None:
        """It waits for its turn."""
        if self._trace is not None:
            self._next(self._trace.begin("queue"))

    def asked(self) -> bytes:
        """It goes to the engine. Returns the header lines with which the engine goes on with the trace."""
        if self._trace is None:
            return b""
        generation = self._generation
        operation = _OPERATIONS[generation.path]
        attributes: dict[str, str | bool] = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": "vllm",
            "gen_ai.request.model": self._model,
            "gen_ai.request.stream": bool(generation.request.stream),
            "zephyr.engine_request_id": generation.id.bytes.hex(),
        }
        span = self._trace.begin(f"{operation} {self._model}", calls=True, attributes=attributes)
        self._next(span)
        self._asked_at = time.monotonic()
        return self._trace.header(span)

    def first_token(self) -> None:
        """The answer has begun."""
        if self._asked_at is not None:
            self._first = time.monotonic() - self._asked_at

    def recording(self, exchange: Exchange, durable: "asyncio.Future[None]") -> None:
        """The engine is done, and the log has been given the exchange."""
        trace, span = self._trace, self._open
        if trace is None or not trace.recorded:
            return
        if span is not None:
            if self._asked_at is not None:
                _describe(span, exchange, self._first)
            if exchange.outcome not in _WELL:
                trace.fail(span, exchange.outcome.value)
        self._next(None)
        record = trace.begin("record")
        durable.add_done_callback(lambda _: record.end())

    def close(self) -> None:
        """End what nobody has ended."""
        self._next(None)

    def _next(self, span: "Span | None") -> None:
        if self._open is not None and self._trace is not None and self._trace.recorded:
            self._open.end()
        self._open = span


def _describe(span: "Span", exchange: Exchange, first: float | None) -> None:
    figures = {
        "gen_ai.response.model": exchange.model,
        "gen_ai.usage.input_tokens": exchange.prompt_tokens,
        "gen_ai.usage.output_tokens": exchange.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": exchange.cached_tokens,
        "gen_ai.response.time_to_first_chunk": first,
        "zephyr.outcome": exchange.outcome.value,
    }
    span.set_attributes({name: value for name, value in figures.items() if value is not None})
    if exchange.finish_reason is not None:
        span.set_attribute("gen_ai.response.finish_reasons", [exchange.finish_reason])
