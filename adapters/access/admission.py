"""The generations that are open: how many may be, how many are at the engine, and who is next."""

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import suppress

from prometheus_client import Histogram

from adapters.access.client import Tell
from adapters.access.fairness import Account, FairQueue, Job
from adapters.access.served import MOST_SHOWN, QueueStatus, Served, TenantStatus
from adapters.errors import GatewayError, Overloaded, ShuttingDown
from adapters.settings import AccessSettings

_LEAVING_SECONDS = 3.0
_LONGEST_RETRY_SECONDS = 60  # OpenAI's SDKs pass over longer ones
_NEWEST = 1 / 16  # share of the newest in what is usual
_WAITS_SECONDS = (0.001, 0.01, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class TooManyWaiting(Overloaded):
    """As many of your requests wait as this server lets wait for one user; try again in a moment."""

    status = 429
    type = "rate_limit_error"
    code = "too_many_waiting"


class WaitedTooLong(Overloaded):
    """The server had no room for this request in time; try again later."""


class Slot(Job):
    """One open generation: it waits for its turn, can be stopped from outside, and frees its place when it is left."""

    __slots__ = (
        "_admission",
        "_began",
        "_counted",
        "_entered",
        "_interrupt",
        "_most",
        "_stopped_by",
        "_turn",
        "runs",
        "waits",
    )

    def __init__(self, admission: "Admission", prompt_tokens: int) -> None:
        super().__init__(prompt_tokens)
        self.waits = False
        self.runs = False
        self._admission = admission
        self._entered = time.monotonic()
        self._began = 0.0
        self._counted: Callable[[], int] | None = None
        self._most = math.inf
        self._turn: asyncio.Future[None] | None = None
        self._interrupt: Callable[[GatewayError], None] | None = None
        self._stopped_by: GatewayError | None = None

    def count(self, tokens: Callable[[], int] | None, most: int | None) -> None:
        """Say how the tokens of the answer are counted while it comes, and how many it may have.

        Without the first, of a plain answer that shows nothing until its end, they are guessed from the time it took.
        """
        self._counted = tokens
        if most is not None:
            self._most = most

    def produced(self) -> float:
        """How many tokens the answer has so far."""
        if self._counted is not None:
            return self._counted()
        return min(self._admission.tokens_a_second * self.seconds, self._most)

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return time.monotonic() - self._began

    @property
    def priority(self) -> int:
        """What the engine is told; it takes memory from the highest first."""
        return self._admission.priority(self)

    async def turn(self, tell: Tell | None) -> None:
        """Wait until it may go to the engine.

        Raises:
            WaitedTooLong: its turn did not come in time.
            GatewayError: it was stopped.
        """
        loop = asyncio.get_running_loop()
        turn = self._turn = loop.create_future()
        timer = loop.call_later(self._admission.longest_wait, self._waited_too_long)
        try:
            self.on_stop(self._end_waiting)
            if tell is not None:
                await self._tell_until(turn, tell)
            await turn
        finally:
            timer.cancel()
            self._interrupt = self._turn = None
        if self._stopped_by is not None:
            raise self._stopped_by

    async def _tell_until(self, turn: "asyncio.Future[None]", tell: Tell) -> None:
        told = None
        while not (await asyncio.wait([turn], timeout=self._admission.tell_seconds))[0]:
            place = self._admission.place(self)
            if place != told:
                await tell(place)
                told = place

    def go(self) -> None:
        """Say that it runs from now on."""
        self.waits, self.runs = False, True
        self._began = time.monotonic()
        self._admission.waits.observe(self._began - self._entered)
        self._end_turn()

    def on_stop(self, interrupt: Callable[[GatewayError], None]) -> None:
        """Say how the work is interrupted; at once, if it was stopped already."""
        self._interrupt = interrupt
        if self._stopped_by is not None:
            interrupt(self._stopped_by)

    def stop(self, error: GatewayError) -> None:
        """End the generation; the error says why."""
        if self._stopped_by is None:
            self._stopped_by = error
            if self._interrupt is not None:
                self._interrupt(error)

    def leave(self, prompt_tokens: int | None = None, produced: int | None = None) -> None:
        """Free the place, and say what it took, as far as that is known. Leaving twice is leaving once."""
        self._interrupt = None
        self._admission.left(self, prompt_tokens, produced)

    def _end_waiting(self, _: GatewayError) -> None:
        self._admission.withdraw(self)
        self._end_turn()

    def _end_turn(self) -> None:
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)

    def _waited_too_long(self) -> None:
        if self.waits:
            self.stop(WaitedTooLong(retry_after=self._admission.seconds_to_wait()))


class Admission:
    """Lets generations in and to the engine, up to a number of each, until it is closed.

    Whoever finds a place at the engine takes it at once. The others wait, each tenant in its order, and go as the
    counters of `fairness` say.
    """

    def __init__(self, settings: AccessSettings) -> None:
        self.longest_wait = settings.longest_wait
        self.tell_seconds = settings.place_told_after
        self.tokens_a_second = 0.0
        """What one generation usually gets."""
        self.waits = Histogram(
            "zephyr_queue_wait_seconds",
            "Seconds that generations waited for their place at the engine, those that found one at once included.",
            registry=None,
            buckets=_WAITS_SECONDS,
        )
        self._limit = settings.max_open_generations
        self._limit_of_tenant = settings.max_waiting_of_tenant
        self._places = settings.engine_concurrency
        self._spare = settings.engine_spare
        self._queue: FairQueue[Slot] = FairQueue()
        self._served = Served()
        self._open: set[Slot] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._closed = False
        self._turns = Turns()

    @property
    def open(self) -> int:
        """How many generations are open: those that wait and those at the engine."""
        return len(self._open)

    @property
    def waiting(self) -> int:
        """How many wait for a place at the engine."""
        return self._queue.waiting

    def status(self) -> QueueStatus:
        """Everything about the queue and the places, and the tenants that have most to do with them."""
        queue = self._queue
        busy = {one.tenant: one for one in queue.accounts if one.waiting or one.running}
        first = sorted(busy.values(), key=lambda one: (len(one.waiting), len(one.running)), reverse=True)
        names = [one.tenant for one in first] + [name for name in self._served.latest() if name not in busy]
        return QueueStatus(
            open=self.open,
            most_open=self._limit,
            waiting=queue.waiting,
            running=queue.running,
            places=self._places,
            spare_places=self._spare,
            tenants=[self._tenant(name, busy.get(name)) for name in names[:MOST_SHOWN]],
            other_tenants=len(names[MOST_SHOWN:]),
        )

    def _tenant(self, name: str, account: Account | None) -> TenantStatus:
        served, running = self._served.of(name), account.running if account else ()
        return TenantStatus(
            tenant=name,
            running=len(running),
            waiting=len(account.waiting) if account else 0,
            prompt_tokens=served.prompt + sum(job.prompt_tokens for job in running),
            answer_tokens=served.answer + round(sum(job.produced() for job in running)),
        )

    def enter(self, tenant: str, weight: float, prompt_tokens: int) -> Slot:
        """A place for one generation, at the engine or, if it `waits`, in the queue. `prompt_tokens` are an estimate.

        Raises:
            ShuttingDown: no more are taken.
            Overloaded: as many are open as may be.
            TooManyWaiting: as many of this tenant's wait as may.
        """
        if self._closed:
            raise ShuttingDown
        queue = self._queue
        if len(self._open) >= self._limit:
            raise Overloaded(retry_after=self._turns.seconds(queue.waiting))
        slot = Slot(self, prompt_tokens)
        if not queue.waiting and queue.running < self._places:
            queue.start(slot, tenant, weight)
            slot.go()
        else:
            if (ahead := queue.waiting_of(tenant)) >= self._limit_of_tenant:
                raise TooManyWaiting(retry_after=self._turns.seconds(ahead))
            slot.waits = True
            queue.wait(slot, tenant, weight)
            self._fill()
        self._open.add(slot)
        self._empty.clear()
        return slot

    def close(self) -> None:
        """Take no more."""
        self._closed = True

    async def drain(self, seconds: float) -> None:
        """Give the open ones so many seconds to finish, then end the rest and wait for them to leave."""
        self.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        for slot in list(self._open):
            slot.stop(ShuttingDown())
        # A generation whose client reads nothing cannot leave by itself: the server cancels it after this.
        with suppress(TimeoutError):
            async with asyncio.timeout(_LEAVING_SECONDS):
                await self._empty.wait()

    # --- for slots

    def priority(self, slot: Slot) -> int:
        """What the engine is told of a generation that goes there."""
        return self._queue.priority(slot)

    def place(self, slot: Slot) -> int:
        """About which one in the queue it is."""
        return self._queue.place(slot)

    def seconds_to_wait(self) -> int:
        """After how many seconds those who wait now will be through."""
        return self._turns.seconds(self._queue.waiting)

    def withdraw(self, slot: Slot) -> None:
        """Take it out of the queue, if it is there."""
        if slot.waits:
            slot.waits = False
            self._queue.withdraw(slot)

    def left(self, slot: Slot, prompt_tokens: int | None, produced: int | None) -> None:
        """Free its place for another."""
        self.withdraw(slot)
        if slot.runs:
            slot.runs = False
            self._finish(slot, prompt_tokens, produced)
            self._fill()
        self._open.discard(slot)
        if not self._open:
            self._empty.set()

    def _finish(self, slot: Slot, prompt_tokens: int | None, produced: int | None) -> None:
        if produced and (seconds := slot.seconds) > 0:
            self.tokens_a_second += (produced / seconds - self.tokens_a_second) * _NEWEST
        prompt = slot.prompt_tokens if prompt_tokens is None else prompt_tokens
        answer = slot.produced() if produced is None else produced
        self._served.note(self._queue.finish(slot, prompt, answer), prompt, answer)

    def _fill(self) -> None:
        """Give the free places to those whose turn it is."""
        queue = self._queue
        while queue.waiting and queue.running < self._places + self._spare:
            slot = queue.next(newcomer=queue.running >= self._places)
            if slot is None:
                return
            self._turns.note(last=not queue.waiting)
            slot.go()


class Turns:
    """How quickly those who wait get their turn, for as long as somebody waits."""

    def __init__(self) -> None:
        self._usual = 0.0
        self._latest: float | None = None

    def note(self, *, last: bool) -> None:
        """One got its turn; with `last` nobody waits any more."""
        now = time.monotonic()
        if self._latest is not None:
            self._usual += (now - self._latest - self._usual) * _NEWEST
        self._latest = None if last else now

    def seconds(self, waiting: int) -> int:
        """After how many seconds so many will have had their turn: at least 1."""
        return max(1, min(math.ceil(waiting * self._usual), _LONGEST_RETRY_SECONDS))
