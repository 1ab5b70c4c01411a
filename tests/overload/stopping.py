"""A gateway that is told to stop while streams run (R10): within its grace each comes to its own end."""

import asyncio
import time
from dataclasses import dataclass

from tests.fakes.engine import Script
from tests.overload.asking import Seen, ask
from tests.overload.stand import percentile, stand


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the clients of a stopped gateway saw."""

    streams: int
    whole: int
    longest: float
    stopped_after: float
    back_after: float
    """Seconds from the stop to a gateway that takes generations again."""
    recorded: int

    def describe(self) -> str:
        """As the document shows it."""
        return (
            f"{self.streams} streams open at SIGTERM, {self.whole} whole, {self.recorded} recorded as completed; p99 "
            f"{self.longest:.1f} s; the process ended after {self.stopped_after:.1f} s, its successor ready after "
            f"{self.back_after:.1f} s"
        )


def measure(*, streams: int, lasting: float, grace: float, database_url: str | None = None) -> Report:
    """Stop while streams run of which each lasts so many seconds."""
    with stand(database_url, ZEPHYR_DRAIN_SECONDS=str(grace)) as parts:
        events = max(10, int(lasting / 0.1))
        parts.engine.script = Script(pieces=("word ",) * events, pause=lasting / events)
        gateway = parts.gateway

        async def stop_under_load() -> tuple[list[Seen], float]:
            asking = [asyncio.create_task(ask(gateway.port, "hello")) for _ in range(streams)]
            await asyncio.to_thread(parts.engine.wait_for, streams, 30.0)
            await asyncio.sleep(lasting / 4)
            gateway.terminate()
            stopped = time.monotonic()
            seen = await asyncio.gather(*asking)
            await asyncio.to_thread(gateway.process.wait, grace + 30)
            return seen, stopped

        seen, stopped = asyncio.run(stop_under_load())
        stopped_after = time.monotonic() - stopped
        gateway.start()
        gateway.wait_until_ready()
        recorded = parts.exchanges.sql("SELECT count(*) FROM exchanges WHERE outcome = 'completed'")
        return Report(
            streams=streams,
            whole=sum(one.kind == "answered" for one in seen),
            longest=percentile([one.whole for one in seen], 0.99),
            stopped_after=stopped_after,
            back_after=time.monotonic() - stopped,
            recorded=recorded[0]["count"],
        )
