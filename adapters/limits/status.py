"""The figures of limits, also for Prometheus."""

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_COUNTERS = {
    "taken": "Requests of limited callers that were let in.",
    "refused": "Those that were refused with 429.",
    "alone": "Those of both that this gateway judged by what it knows itself, because the store was away.",
    "forgotten": "Requests whose use was never counted, because the store was away for too long.",
}


@dataclass(slots=True)
class LimitStatus:
    """What this process has done about limits."""

    taken: int = 0
    refused: int = 0
    alone: int = 0
    forgotten: int = 0
    up: bool = True
    """Whether the store answered last time."""


class LimitMetrics(Collector):
    """The same for Prometheus. Nothing tells of a key or a tenant."""

    def __init__(self, status: LimitStatus) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        """The figures at this moment."""
        for name, meaning in _COUNTERS.items():
            yield CounterMetricFamily(f"zephyr_limits_{name}", meaning, value=getattr(self._status, name))
        yield GaugeMetricFamily(
            "zephyr_limits_store_up", "Whether limits are counted over all gateways.", value=self._status.up
        )
