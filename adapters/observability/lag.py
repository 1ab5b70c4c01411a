"""How late the event loop is, which everything that the gateway does waits for."""

import asyncio
from collections.abc import Iterable

from prometheus_client import Histogram
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

_EVERY_SECONDS = 0.25
_LATE_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class LoopLag(Collector):
    """Asks four times a second to be woken, and notes how much later that comes."""

    def __init__(self) -> None:
        self._late = Histogram(
            "zephyr_event_loop_lag_seconds",
            "By how much later than asked for the event loop wakes a task.",
            registry=None,
            buckets=_LATE_SECONDS,
        )
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._for_ever(), name="loop lag")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def collect(self) -> Iterable[Metric]:
        """The figures at this moment."""
        return self._late.collect()

    async def _for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _EVERY_SECONDS
            await asyncio.sleep(_EVERY_SECONDS)
            self._late.observe(max(0.0, loop.time() - due))
