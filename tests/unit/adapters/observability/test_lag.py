"""The event loop's lag is what others make it."""

import asyncio
import time
from collections.abc import Callable

from adapters.observability.lag import LoopLag


def told(lag: LoopLag) -> dict[str, float]:
    """How many looks were no later than each bound."""
    (family,) = lag.collect()
    return {sample.labels["le"]: sample.value for sample in family.samples if "le" in sample.labels}


async def until(happened: Callable[[], bool]) -> None:
    limit = time.monotonic() + 5
    while not happened():
        assert time.monotonic() < limit
        await asyncio.sleep(0.01)


async def test_a_loop_that_is_held_up_is_late() -> None:
    lag = LoopLag()
    lag.start()
    await asyncio.sleep(0.05)
    time.sleep(0.6)  # noqa: ASYNC251  # holds everything up, also beyond the moment at which it wanted to look
    await until(lambda: told(lag)["+Inf"] >= 1)
    seen = told(lag)
    assert seen["0.25"] < seen["+Inf"]
    await lag.close()


async def test_a_loop_that_is_free_is_not() -> None:
    """One look in time is enough: the machine itself may stand still at another."""
    lag = LoopLag()
    lag.start()
    await until(lambda: told(lag)["0.1"] >= 1)
    await lag.close()
    await lag.close()
