"""What happens to limits while the store is away, slow or left alone, and when it is back."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr

from adapters.access.callers import Caller, Limits
from adapters.database.session import create_engine
from adapters.limits.figures import RateLimited
from adapters.limits.quotas import Parts, Quotas, TakenQuota
from adapters.limits.repository import LimitRepository
from adapters.limits.store import Demand, Store, Subject
from adapters.limits.valkey import ValkeyCounts
from adapters.settings import BadSettings, LimitSettings
from tests.databases import log_settings
from tests.valkey import ValkeyServer

PATIENCE = 0.2


def _settings() -> LimitSettings:
    return LimitSettings(limits_patience=PATIENCE, limits_lease=1)  # type: ignore[call-arg]  # the rest has defaults


class Gateways:
    """What two gateways do about limits, and the store by itself."""

    def __init__(self, stores: list[Store]) -> None:
        settings = _settings()
        self.one, self.other = (Quotas(store, settings) for store in stores[:2])
        self.store = stores[2]

    async def month(self, caller: Caller) -> int:
        """The tokens that the store has counted for a caller's tenant."""
        subject = Subject(f"tenant:{caller.tenant}", caller.tenant_limits)
        answer = await self.store.take(Demand(subjects=(subject,), tokens=0, lease=uuid4()))
        return answer.states[0].month_tokens


@pytest.fixture
async def gateways(valkey: ValkeyServer) -> AsyncIterator[Gateways]:
    """Two on one Valkey server."""
    async with AsyncExitStack() as stack:
        stores: list[Store] = []
        for _ in range(3):
            stores.append(ValkeyCounts(SecretStr(valkey.url), lease=1, patience=PATIENCE))
            stack.push_async_callback(stores[-1].close)
        gateways = Gateways(stores)
        for quotas in (gateways.one, gateways.other):
            quotas.start()
            stack.push_async_callback(quotas.close)
        yield gateways


def caller(**limits: int) -> Caller:
    return Caller(tenant=uuid4().hex, scopes=frozenset(), tenant_limits=Limits(**limits))


async def take(quotas: Quotas, caller: Caller, tokens: int = 0) -> TakenQuota | None:
    try:
        return await quotas.take(caller, uuid4(), tokens)
    except RateLimited:
        return None


async def let(quotas: Quotas, caller: Caller, times: int, tokens: int = 0) -> int:
    """How many of so many requests are let in."""
    taken = await asyncio.gather(*(take(quotas, caller, tokens) for _ in range(times)))
    return sum(one is not None for one in taken)


async def test_while_the_store_is_away_each_gateway_goes_on_from_what_it_knew(
    gateways: Gateways, valkey: ValkeyServer
) -> None:
    """So both together give away at most the limit each; and afterwards all that was used is counted."""
    user = caller(tokens_per_month=1_000)
    assert await let(gateways.one, user, 30, tokens=10) == 30
    assert await let(gateways.other, user, 1, tokens=10) == 1
    valkey.kill()
    try:
        assert await let(gateways.one, user, 200, tokens=10) == 70
        quota = await take(gateways.other, user, 10)
        assert quota is not None
        assert await let(gateways.other, user, 200, tokens=10) == 68
        assert gateways.one.status.alone == 200
        assert not gateways.one.status.up
        quota.settle(33)
        began = time.monotonic()
        await quota.counted()
        assert time.monotonic() - began < 2 * PATIENCE
    finally:
        valkey.start()
    limit = time.monotonic() + 5
    while await gateways.month(user) != 33:
        assert time.monotonic() < limit
        await asyncio.sleep(0.05)
    while not gateways.other.status.up:  # it hears of its settlement a moment after it is counted
        assert time.monotonic() < limit
        await asyncio.sleep(0.01)
    while not gateways.one.status.up:
        assert time.monotonic() < limit
        await take(gateways.one, caller(requests_per_minute=5))
        await asyncio.sleep(0.05)


async def test_a_store_that_keeps_silent_is_not_waited_for(gateways: Gateways, valkey: ValkeyServer) -> None:
    """A request waits for its patience, the next ones not at all; what the store has taken for nobody comes back."""
    user = caller(tokens_per_month=1_000)
    assert await take(gateways.one, user) is not None
    valkey.freeze()
    try:
        began = time.monotonic()
        assert await let(gateways.one, user, 5, tokens=100) == 5
        assert PATIENCE <= time.monotonic() - began < 3 * PATIENCE
        began = time.monotonic()
        assert await let(gateways.one, user, 6, tokens=100) == 5
        assert time.monotonic() - began < PATIENCE
    finally:
        valkey.thaw()
    limit = time.monotonic() + 3
    while await gateways.month(user) != 0:
        assert time.monotonic() < limit
        await asyncio.sleep(0.02)


async def test_who_leaves_while_asking_has_taken_nothing(gateways: Gateways, valkey: ValkeyServer) -> None:
    """A request that is broken off before its answer came gives back what was taken for it."""
    user = caller(requests_per_minute=1, tokens_per_month=1_000)
    valkey.freeze()
    try:
        asking = asyncio.create_task(take(gateways.one, user, 100))
        await asyncio.sleep(PATIENCE / 4)
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
    finally:
        valkey.thaw()
    await asyncio.sleep(PATIENCE)
    assert await gateways.month(user) == 0
    assert await let(gateways.other, user, 2, tokens=1) in (0, 1)


async def test_places_of_what_runs_are_renewed(gateways: Gateways) -> None:
    """For as long as it runs, which is longer than a lease."""
    user = caller(concurrent_requests=1)
    quota = await take(gateways.one, user)
    assert quota is not None
    for _ in range(8):
        assert await take(gateways.other, user) is None
        await asyncio.sleep(0.2)
    quota.settle(0)
    await quota.counted()
    assert await take(gateways.other, user) is not None


async def test_several_generations_are_one_request(gateways: Gateways) -> None:
    """Their tokens are added; if of one nobody knows, what was reserved counts."""
    for unknown, expected in ((None, 100), (7, 12)):
        user = caller(requests_per_minute=1, tokens_per_month=1_000)
        quota = await take(gateways.one, user, 100)
        assert quota is not None
        whole = Parts(quota)
        whole.settle(5)
        whole.settle(unknown)
        await whole.end()
        assert await gateways.month(user) == expected
        quota.settle(999)
        await quota.counted()
        assert await gateways.month(user) == expected


@pytest.mark.parametrize(
    "url",
    ["redis://user:hidden@host:port", "redis://:hidden@host?no_such_option=1", "redis://host/hidden?db=x"],
)
def test_a_url_that_the_client_cannot_use_is_refused_at_the_start(url: str) -> None:
    """By its variable, and without what is in it."""
    with pytest.raises(BadSettings, match="ZEPHYR_LIMITS_URL") as caught:
        ValkeyCounts(SecretStr(url), lease=1, patience=1)
    assert "hidden" not in str(caught.value)


async def test_a_database_that_is_not_there_is_a_store_that_is_away(tmp_path: Path) -> None:
    """Limits hold in this gateway by itself."""
    engine = create_engine(log_settings(f"postgresql://nobody@/nothing?host={tmp_path}"))
    quotas = Quotas(LimitRepository(engine, lease=1), _settings())
    user = caller(requests_per_minute=10, concurrent_requests=5)
    assert await let(quotas, user, 50) == 5
    assert quotas.status.alone == 50
    await quotas.close()
    await engine.dispose()
