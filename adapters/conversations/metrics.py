"""The log's own figures, for Prometheus."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from adapters.conversations.status import LogStatus

_COUNTERS = {
    "accepted": "Exchanges that the log was given.",
    "committed": "Exchanges that are in PostgreSQL.",
    "refused": "Exchanges that are durable nowhere, and whose clients were told so; or set aside.",
    "lost": "Exchanges that are durable nowhere, though their clients were told that all is well (best_effort).",
}
_GAUGES = {
    "spooled": "Exchanges on this machine's disk that wait to be shipped to PostgreSQL.",
    "waiting": "Exchanges that are durable nowhere yet, and whose clients wait.",
}


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
