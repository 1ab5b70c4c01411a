"""What a request takes of its key's and its tenant's limits when it begins, and settles when it ends."""

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any, Protocol
from uuid import UUID

import msgspec
import structlog

from adapters.access.callers import Caller, Limits
from adapters.limits import figures
from adapters.limits.figures import Headers
from adapters.limits.local import LocalCounts
from adapters.limits.status import LimitStatus
from adapters.limits.store import Answer, Demand, Settlement, Store, StoreAway, Subject
from adapters.settings import LimitSettings

_log = structlog.get_logger(__name__)
_UNLIMITED = Limits()
_REST_SECONDS = 1.0  # a store that was away is not waited for by every request
_MOST_OWED = 10_000  # settlements that wait for the store to be back; the oldest are given up first
_SWEEP_SECONDS = 3600.0
_ENDING_SECONDS = 2.0


def is_limited(caller: Caller) -> bool:
    """Whether there is anything to count."""
    return caller.limits != _UNLIMITED or caller.tenant_limits != _UNLIMITED


class Quota(Protocol):
    """What one generation has taken."""

    @property
    def headers(self) -> Headers:
        """How the limits stand."""

    def settle(self, used: int | None, *, begun: bool = True) -> None:
        """Say how many tokens were used; where nobody knows (None), what was reserved counts.

        With `begun=False` the gateway refused it after all: nothing counts. The first call counts, and no other.
        """

    async def counted(self) -> None:
        """Return when what was settled is counted, so that the next request finds it so, or that takes too long."""


class Quotas:
    """All limits of this process, counted together with those of all others as long as the store is there."""

    def __init__(self, store: Store, settings: LimitSettings) -> None:
        self._store = store
        self._local = LocalCounts()
        self._settings = settings
        self._away_until = 0.0
        self._up = True
        self._held: dict[UUID, tuple[str, ...]] = {}
        self._owed: deque[Settlement] = deque()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._keeping: asyncio.Task[None] | None = None
        self.status = LimitStatus()

    def start(self) -> None:
        """Start renewing the places of what runs."""
        self._keeping = asyncio.create_task(self._keep(), name="limit leases")

    async def close(self) -> None:
        """Let settlements be made, and stop."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_ENDING_SECONDS)
        tasks = [*self._tasks, *([self._keeping] if self._keeping else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def take(self, caller: Caller, lease: UUID, tokens: int) -> "TakenQuota":
        """Take one request with so many tokens of all limits of a caller.

        Raises:
            RateLimited: one of them does not allow it; nothing was taken.
        """
        demand = Demand(subjects=_subjects(caller), tokens=tokens, lease=lease)
        answer, shared = await self._ask(demand)
        if not answer.taken:
            self.status.refused += 1
            raise figures.refusal(demand, answer)
        self.status.taken += 1
        places = tuple(one.name for one in demand.subjects if one.limits.concurrent_requests is not None)
        if places and shared:
            self._held[lease] = places
        return TakenQuota(self, demand, answer, shared=shared)

    def settle(self, settlement: Settlement, *, shared: bool) -> asyncio.Future[None]:
        """Count what was used instead of what was reserved, and free the place."""
        self._held.pop(settlement.lease, None)
        self._local.settle(settlement)
        if not shared:  # there nothing was reserved
            settlement = msgspec.structs.replace(settlement, reserved=0)
        return self._start(self._settle(settlement))

    async def wait(self, settled: asyncio.Future[None]) -> None:
        """Wait for a settlement, not for long."""
        await asyncio.wait([settled], timeout=self._settings.limits_patience)

    async def _ask(self, demand: Demand) -> tuple[Answer, bool]:
        """The answer, and whether it is that of all gateways together."""
        if time.monotonic() >= self._away_until:
            try:
                answer = await self._patiently(demand)
            except StoreAway as error:
                self._lost(error)
            else:
                self._found()
                self._local.follow(demand, answer)
                return answer, True
        self.status.alone += 1
        return self._local.take(demand), False

    async def _patiently(self, demand: Demand) -> Answer:
        task: asyncio.Task[Answer] = self._start(self._store.take(demand))
        try:
            await asyncio.wait([task], timeout=self._settings.limits_patience)
        except BaseException:  # whoever asked has gone: what is taken is given back
            task.add_done_callback(lambda done: self._give_back(demand, done))
            raise
        if not task.done():
            task.add_done_callback(lambda done: self._give_back(demand, done))
            raise StoreAway("Slow")
        return task.result()

    def _give_back(self, demand: Demand, done: "asyncio.Task[Answer]") -> None:
        if not done.cancelled() and done.exception() is None and done.result().taken:
            settlement = _settlement(demand, done.result(), used=0, begun=False)
            self._start(self._settle(settlement))

    async def _settle(self, settlement: Settlement) -> None:
        try:
            await self._store.settle(settlement)
        except StoreAway as error:
            self._lost(error)
            # It may have been done all the same. What would be given back is not given back twice, but kept.
            if settlement.used > settlement.reserved:
                self._owe(settlement)

    def _owe(self, settlement: Settlement) -> None:
        if len(self._owed) >= _MOST_OWED:
            self._owed.popleft()
            self.status.forgotten += 1
        self._owed.append(settlement)

    async def _keep(self) -> None:
        """Renew leases, settle what is owed, and now and then forget what has expired."""
        swept_at = -_SWEEP_SECONDS
        while True:
            try:
                if self._held:
                    held = [(name, lease) for lease, names in self._held.items() for name in names]
                    await self._store.renew(held)
                    self._found()
                await self._settle_owed()
                if self.status.taken and time.monotonic() - swept_at > _SWEEP_SECONDS:
                    await self._store.forget_idle()
                    swept_at = time.monotonic()
            except StoreAway as error:
                self._lost(error)
            except Exception as error:  # noqa: BLE001  # without it every lease here would end
                _log.error("the leases stumbled", event_key="limit_lease_error", error=type(error).__name__)
            await asyncio.sleep(min(_REST_SECONDS, self._settings.limits_lease / 3))

    async def _settle_owed(self) -> None:
        while self._owed:
            settlement = self._owed.popleft()
            try:
                await self._store.settle(settlement)
            except StoreAway:
                self._owed.appendleft(settlement)
                raise
            self._found()

    def _lost(self, error: Exception) -> None:
        self._away_until = time.monotonic() + _REST_SECONDS
        if self._up:
            self._up = self.status.up = False
            name = str(error) or type(error).__name__
            _log.warning("limits are counted by each gateway alone", event_key="limits_away", error=name)

    def _found(self) -> None:
        if not self._up:
            self._up = self.status.up = True
            _log.info("limits are counted together again", event_key="limits_up")

    def _start(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """In a task of its own, which does not end with whoever asked."""
        task = asyncio.create_task(work, name="limits")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class TakenQuota:
    """What one request has taken."""

    def __init__(self, quotas: Quotas, demand: Demand, answer: Answer, *, shared: bool) -> None:
        self._quotas = quotas
        self._demand = demand
        self._answer = answer
        self._shared = shared
        self._settled: asyncio.Future[None] | None = None
        self.headers = figures.headers(demand, answer)

    def settle(self, used: int | None, *, begun: bool = True) -> None:
        """As `Quota` says."""
        if self._settled is None:
            settlement = _settlement(self._demand, self._answer, used=used, begun=begun)
            self._settled = self._quotas.settle(settlement, shared=self._shared)

    async def counted(self) -> None:
        """As `Quota` says."""
        if self._settled is not None:
            await self._quotas.wait(self._settled)


class Parts:
    """One quota for an answer that is made of several generations: each settles its part, then `end` the whole."""

    def __init__(self, whole: TakenQuota) -> None:
        self._whole = whole
        self._used = 0
        self._known = True
        self.headers = whole.headers

    def settle(self, used: int | None, *, begun: bool = True) -> None:
        """As `Quota` says, of one of the generations."""
        self._used += used or 0
        self._known = self._known and used is not None

    async def counted(self) -> None:
        """Nothing is counted before the whole."""

    async def end(self) -> None:
        """Settle the whole."""
        self._whole.settle(self._used if self._known else None)
        await self._whole.counted()


def _subjects(caller: Caller) -> tuple[Subject, ...]:
    key, tenant = caller.limits != _UNLIMITED, caller.tenant_limits != _UNLIMITED
    return (
        *([Subject(f"key:{caller.key}", caller.limits)] if key else []),
        *([Subject(f"tenant:{caller.tenant}", caller.tenant_limits)] if tenant else []),
    )


def _settlement(demand: Demand, answer: Answer, *, used: int | None, begun: bool) -> Settlement:
    return Settlement(
        subjects=demand.subjects,
        lease=demand.lease,
        taken_at=answer.states[0].at,
        reserved=demand.tokens,
        used=demand.tokens if used is None else used,
        requests=int(begun),
    )
