"""`/metrics`: figures for Prometheus. Never a prompt, a key or a label without bounds."""

from collections.abc import Awaitable, Callable, Iterator

from fastapi import APIRouter, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from adapters import __version__

# When each counter began is a third of the page, and all of them began with the process.
disable_created_metrics()  # type: ignore[no-untyped-call]


class _About(Collector):
    def collect(self) -> Iterator[Metric]:
        about = {"version": __version__}
        yield InfoMetricFamily("zephyr_gateway", "The version of this gateway process.", value=about)


def routes(look: Callable[[], Awaitable[None]], *collectors: Collector) -> APIRouter:
    """The route; at each call first `look` is waited for, and then each collector asked anew."""
    registry = CollectorRegistry(auto_describe=True)
    for collector in (_About(), ProcessCollector(registry=None), *collectors):
        registry.register(collector)
    router = APIRouter(tags=["Operation"])

    @router.get(
        "/metrics",
        summary="Figures for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}},
    )
    async def metrics() -> Response:
        await look()
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router
