"""Stores that count, each as two gateways have it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack

import pytest
from pydantic import SecretStr
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from adapters.database.session import create_engine
from adapters.limits.repository import LimitRepository
from adapters.limits.store import Store
from adapters.limits.valkey import ValkeyCounts
from tests.databases import fetch, log_settings
from tests.valkey import ValkeyServer

Age = Callable[[int], Awaitable[None]]
"""Lets so many microseconds pass for what is counted so far."""


@pytest.fixture(scope="session")
def _valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    with ValkeyServer(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def valkey(_valkey: ValkeyServer) -> ValkeyServer:
    """An empty server."""
    with Redis.from_url(_valkey.url) as client:
        client.flushall()
    return _valkey


@pytest.fixture(params=["postgresql", "valkey"])
def where(request: pytest.FixtureRequest) -> str | ValkeyServer:
    """The URL of a database, or a server: each kind of store in turn."""
    fixture = "database_url" if request.param == "postgresql" else "valkey"
    found: str | ValkeyServer = request.getfixturevalue(fixture)
    return found


@pytest.fixture
def lease() -> float:
    """Seconds for which a lease lasts; longer than a test, unless it says otherwise."""
    return 60.0


@pytest.fixture
async def stores_and_age(where: str | ValkeyServer, lease: float) -> AsyncIterator[tuple[list[Store], Age]]:
    """The two stores, and how to let time pass for them."""
    async with AsyncExitStack() as stack:
        if isinstance(where, str):
            yield await _in_postgresql(where, lease, stack)
        else:
            yield await _in_valkey(where, lease, stack)


@pytest.fixture
def stores(stores_and_age: tuple[list[Store], Age]) -> list[Store]:
    """One store of two gateways on two hosts, as each of them has it."""
    return stores_and_age[0]


@pytest.fixture
def age(stores_and_age: tuple[list[Store], Age]) -> Age:
    """Lets so many microseconds pass for what is counted so far."""
    return stores_and_age[1]


async def _in_postgresql(url: str, lease: float, stack: AsyncExitStack) -> tuple[list[Store], Age]:
    made: list[Store] = []
    for _ in range(2):
        engine = create_engine(log_settings(url))
        stack.push_async_callback(engine.dispose)
        made.append(LimitRepository(engine, lease=lease))

    async def age(time: int) -> None:
        await fetch(url, "UPDATE limit_states SET at = at - $1", time)

    return made, age


async def _in_valkey(server: ValkeyServer, lease: float, stack: AsyncExitStack) -> tuple[list[Store], Age]:
    made: list[Store] = []
    for _ in range(2):
        counts = ValkeyCounts(SecretStr(server.url), lease=lease, patience=5)
        stack.push_async_callback(counts.close)
        made.append(counts)
    client = await stack.enter_async_context(AsyncRedis.from_url(server.url))

    async def age(time: int) -> None:
        async for key in client.scan_iter(_type="hash"):
            await client.hincrby(key, "at", -time)

    return made, age
