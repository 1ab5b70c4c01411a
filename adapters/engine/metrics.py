"""The engine for Prometheus: as the gateway sees it, and what it tells itself."""

from collections.abc import Iterator

from fastapi import APIRouter, Response
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from adapters.engine.client import EngineClient
from adapters.engine.watch import EngineWatch
from adapters.errors import GatewayError


class EngineMetrics(Collector):
    """Whether it is there, whether it works, and how often it was lost."""

    def __init__(self, watch: EngineWatch) -> None:
        self._watch = watch

    def collect(self) -> Iterator[Metric]:
        """The figures at this moment."""
        watch = self._watch
        yield GaugeMetricFamily(
            "zephyr_engine_ready", "Whether generations are sent to the engine.", value=watch.ready
        )
        yield GaugeMetricFamily(
            "zephyr_engine_hangs",
            "Whether it says that it is well and does not work.",
            value=watch.state.hangs,
        )
        yield GaugeMetricFamily(
            "zephyr_engine_silent_seconds",
            "Seconds since its last sign of work; 0 while it is away. An idle engine is asked for one after "
            "ZEPHYR_ENGINE_QUIET_SECONDS.",
            value=watch.silent_seconds,
        )
        lost = CounterMetricFamily(
            "zephyr_engine_lost", "How often an engine that was ready was lost.", labels=["how"]
        )
        for how, count in watch.lost.items():
            lost.add_metric([how], count)
        yield lost


def routes(client: EngineClient) -> APIRouter:
    """The engine's own page. Prometheus cannot ask an engine that listens on a socket of this machine."""
    router = APIRouter(tags=["Operation"])

    @router.get("/engine/metrics", summary="vLLM's own figures", response_class=Response)
    async def engine_metrics() -> Response:
        try:
            status, page = await client.get("/metrics")
        except GatewayError as error:
            # Not by `body`, which counts as telling a client.
            return Response(b'{"error": %b}' % error.detail(), 503, media_type="application/json")
        return Response(page, status, media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return router
