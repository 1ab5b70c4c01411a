"""How much is asked for, for Prometheus: what engines and gateways are scaled by."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from adapters.access.admission import Admission


class AdmissionMetrics(Collector):
    """The open generations of this process. Nothing tells of a tenant."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def collect(self) -> Iterator[Metric]:
        """The figures at this moment."""
        yield GaugeMetricFamily(
            "zephyr_generations_open",
            "Generations that are open, waiting and at the engine.",
            value=self._admission.open,
        )
        yield GaugeMetricFamily(
            "zephyr_generations_waiting",
            "Those of them that wait for a place at the engine.",
            value=self._admission.waiting,
        )
