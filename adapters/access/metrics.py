"""How much is asked for, and what is refused, for Prometheus. Engines and gateways are scaled by the first."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from adapters import errors
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
        yield from self._admission.waits.collect()


class ErrorMetrics(Collector):
    """What clients of this process were told instead of an answer, or at the end of one that broke."""

    def collect(self) -> Iterator[Metric]:
        """The figures at this moment."""
        told = CounterMetricFamily(
            "zephyr_errors",
            "Errors that clients were told of, by HTTP status and code, in the middle of a stream too.",
            labels=["status", "code"],
        )
        for (status, code), count in sorted(errors.told.items()):
            told.add_metric([str(status), code], count)
        yield told
