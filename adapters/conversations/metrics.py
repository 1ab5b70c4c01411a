"""What was generated, and where the log has it, for Prometheus. Nothing tells of a tenant or of what was said."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from prometheus_client import Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from adapters.conversations.entries import Entry
from adapters.conversations.exchange import ANSWERED, Exchange
from adapters.conversations.status import LogStatus

_COUNTERS = {
    "accepted": "Exchanges, and answers kept for an Idempotency-Key, that the log was given.",
    "committed": "Of these, those that are in PostgreSQL.",
    "refused": "Those that are durable nowhere, and whose clients were told so; or set aside.",
    "lost": "Those that are durable nowhere, though their clients were told that all is well (best_effort).",
}
_GAUGES = {
    "spooled": "Those on this machine's disk that wait to be shipped to PostgreSQL.",
    "waiting": "Those that are durable nowhere yet, and whose clients wait.",
}


_FIRST_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_TOTAL_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)


class ExchangeMetrics(Collector):
    """Exchanges as they are given to the log: how they ended, how long they took, how many tokens they had."""

    def __init__(self) -> None:
        self._ended = Counter(
            "zephyr_exchanges",
            "Generations that had a place, by how they ended.",
            ["door", "endpoint", "outcome"],
            registry=None,
        )
        self._first = Histogram(
            "zephyr_first_token_seconds",
            "Seconds from acceptance to the first piece of a streamed answer, the queue included.",
            ["door"],
            registry=None,
            buckets=_FIRST_SECONDS,
        )
        self._total = Histogram(
            "zephyr_exchange_seconds",
            "Seconds from acceptance to the end of an answer that is whole, the queue included.",
            ["door"],
            registry=None,
            buckets=_TOTAL_SECONDS,
        )
        self._prompt = Counter(
            "zephyr_prompt_tokens", "Tokens of prompts, by the engine's count.", registry=None
        )
        self._cached = Counter(
            "zephyr_cached_prompt_tokens",
            "Those of them that the engine had in its prefix cache, as far as it says so.",
            registry=None,
        )
        self._completion = Counter(
            "zephyr_completion_tokens", "Tokens of answers, by the engine's count.", registry=None
        )

        self._series: dict[tuple[str, str, str], tuple[Counter, Histogram, Histogram]] = {}
        """By door, endpoint and outcome: to look a series up by its labels takes longer than to count."""

    def note(self, entry: Entry) -> None:
        """Count an exchange that has ended. Kept answers are none."""
        if not isinstance(entry, Exchange):
            return
        kind = entry.door, entry.endpoint, entry.outcome
        if (series := self._series.get(kind)) is None:
            door, *_ = kind
            series = self._series[kind] = (
                self._ended.labels(*kind),
                self._first.labels(door),
                self._total.labels(door),
            )
        ended, first, total = series
        ended.inc()
        if entry.first_token_ms is not None:
            first.observe(entry.first_token_ms / 1000)
        if entry.outcome in ANSWERED:
            total.observe(entry.total_ms / 1000)
        if entry.prompt_tokens:
            self._prompt.inc(entry.prompt_tokens)
        if entry.cached_tokens:
            self._cached.inc(entry.cached_tokens)
        if entry.completion_tokens:
            self._completion.inc(entry.completion_tokens)

    def collect(self) -> Iterator[Metric]:
        """The figures at this moment."""
        for one in (self._ended, self._first, self._total, self._prompt, self._cached, self._completion):
            yield from one.collect()


class LogMetrics(Collector):
    """At any moment accepted = committed + spooled + refused + lost + waiting."""

    def __init__(self, status: Callable[[], LogStatus]) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        """The figures at this moment, all of the same one."""
        status = self._status()
        for name, meaning in _COUNTERS.items():
            yield CounterMetricFamily(f"zephyr_log_{name}", meaning, value=getattr(status, name))
        for name, meaning in _GAUGES.items():
            yield GaugeMetricFamily(f"zephyr_log_{name}", meaning, value=getattr(status, name))
        oldest = status.oldest_unshipped
        yield GaugeMetricFamily(
            "zephyr_log_oldest_unshipped_seconds",
            "Age of the exchange that has waited in the spool for longest.",
            value=(datetime.now(UTC) - oldest).total_seconds() if oldest else 0.0,
        )
        yield GaugeMetricFamily(
            "zephyr_log_database_up",
            "Whether PostgreSQL takes exchanges.",
            value=not status.database_away_since,
        )
        yield GaugeMetricFamily(
            "zephyr_log_spool_up", "Whether the spool takes exchanges.", value=not status.spool_problem
        )
        yield GaugeMetricFamily(
            "zephyr_log_spool_room_bytes",
            "Bytes that the spool may still take: what its limit and its disk leave, as of the last look.",
            value=status.spool_room_bytes,
        )
