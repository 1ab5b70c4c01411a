"""The look-up of keys, for Prometheus. Nothing tells of a key."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from adapters.keys.known import KnownKeys


class KeyMetrics(Collector):
    """Whether keys can be looked up; nothing where none are needed."""

    def __init__(self, keys: KnownKeys | None) -> None:
        self._keys = keys

    def collect(self) -> Iterator[Metric]:
        """The figures at this moment."""
        if self._keys is not None:
            yield GaugeMetricFamily(
                "zephyr_keys_up",
                "Whether PostgreSQL tells whose a key is. Otherwise only those get in that are known here.",
                value=self._keys.up,
            )
