"""What counting a limited caller's request costs, in PostgreSQL and in Valkey.

    python -m benchmarks.limits [--valkey unix:///its.sock] [--requests 2000]

A key and its tenant have all five limits, as large as can be. Each request takes and settles, one after the other and 32
at once: all of one tenant, so that they queue for one row, or of 32. PostgreSQL is the embedded one on this machine's
disk.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

from pydantic import SecretStr

from adapters.access.callers import Limits
from adapters.database.session import create_engine
from adapters.limits.repository import LimitRepository
from adapters.limits.store import Demand, Settlement, Store, Subject
from adapters.limits.valkey import ValkeyCounts
from adapters.settings import LogSettings
from benchmarks.database import embedded_database
from benchmarks.processes import stop_in_order
from benchmarks.report import table

_AT_ONCE = 32
_LIMITS = Limits(
    requests_per_minute=10**8,
    tokens_per_minute=10**8,
    concurrent_requests=10**4,
    tokens_per_day=2**50,
    tokens_per_month=2**50,
)


async def _one(store: Store, tenant: int, times: list[float]) -> None:
    subjects = (Subject(f"key:{UUID(int=tenant)}", _LIMITS), Subject(f"tenant:t{tenant}", _LIMITS))
    demand = Demand(subjects=subjects, tokens=600, lease=uuid4())
    began = time.perf_counter()
    answer = await store.take(demand)
    times.append(time.perf_counter() - began)
    assert answer.taken
    settlement = Settlement(
        subjects=subjects, lease=demand.lease, taken_at=answer.states[0].at, reserved=600, used=300
    )
    await store.settle(settlement)


async def _round(store: Store, requests: int, at_once: int, tenants: int) -> tuple[float, list[float]]:
    """Seconds for all, and of each the seconds of taking."""
    times: list[float] = []
    numbers = iter(range(requests))

    async def work(numbers: Iterator[int]) -> None:
        for number in numbers:
            await _one(store, number % tenants, times)

    began = time.perf_counter()
    await asyncio.gather(*(work(numbers) for _ in range(at_once)))
    return time.perf_counter() - began, sorted(times)


async def _rows(name: str, store: Store, requests: int) -> list[list[str]]:
    rows = []
    await _round(store, 200, _AT_ONCE, _AT_ONCE)
    for at_once, tenants in ((1, 1), (_AT_ONCE, 1), (_AT_ONCE, _AT_ONCE)):
        seconds, times = await _round(store, requests, at_once, tenants)
        quantiles = [times[int(len(times) * share)] * 1000 for share in (0.5, 0.99)]
        rows.append(
            [
                name,
                str(at_once),
                str(tenants),
                *(f"{one:.2f}" for one in quantiles),
                f"{requests / seconds:.0f}",
            ]
        )
    return rows


async def _measure(url: str, valkey: str | None, requests: int) -> str:
    settings = LogSettings(database_url=SecretStr(url))  # type: ignore[call-arg]  # the rest has defaults
    engine = create_engine(settings)
    rows = await _rows("PostgreSQL", LimitRepository(engine, lease=15), requests)
    await engine.dispose()
    if valkey is not None:
        counts = ValkeyCounts(SecretStr(valkey), lease=15, patience=1)
        rows += await _rows("Valkey", counts, requests)
        await counts.close()
    head = ["store", "at once", "tenants", "take p50, ms", "p99, ms", "take and settle, a second"]
    return table(head, rows)


def main() -> None:
    """Measure, and print the table."""
    stop_in_order()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--valkey", help="the URL of a server")
    parser.add_argument("--requests", type=int, default=2000)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as folder,
        embedded_database(Path(folder)) as database,
    ):
        print(asyncio.run(_measure(database.url, options.valkey, options.requests)))


if __name__ == "__main__":
    main()
