"""Whose request goes to the engine next: the Virtual Token Counter.

Sheng et al., *Fairness in Serving Large Language Models*, OSDI 2024 (https://arxiv.org/abs/2401.00588), with weights.
A tenant's counter grows by what it was served, divided by its weight, and the tenant with the smallest one is next. What
differs from the paper, and what that does to its bound, is in docs/decisions/0020. No clock, no tasks: see `admission`.
"""

from collections import deque
from collections.abc import Collection, Iterator
from typing import Generic, TypeVar, cast

INPUT_TOKEN = 1.0
OUTPUT_TOKEN = 2.0
"""What a token of the prompt and one of the answer cost; the paper's weights."""
_MOST_PRIORITY = 2**31 - 1
_USUAL_SHARE = 1 / 16  # of the newest generation in what one usually costs
_FEW = 64  # accounts of tenants without work that are not worth being looked through


class Job:
    """One generation, as far as it is counted."""

    __slots__ = ("account", "charged", "number", "prompt_tokens")

    def __init__(self, prompt_tokens: int) -> None:
        """`prompt_tokens` may be an estimate; it is corrected when the job ends."""
        self.prompt_tokens = prompt_tokens
        self.charged = 0.0
        self.number = 0
        self.account: Account | None = None

    def produced(self) -> float:
        """How many tokens its answer has so far. This is asked when there is something to be decided."""
        return 0.0


class Account:
    """One tenant: what it was served, and what it has waiting and running."""

    __slots__ = ("counter", "floor", "running", "tenant", "waiting", "weight")

    def __init__(self, tenant: str, counter: float) -> None:
        self.tenant = tenant
        self.weight = 1.0
        self.counter = counter
        self.floor = counter
        """Where it was last lifted to. No correction of what was charged before takes it below."""
        self.waiting: deque[Job] = deque()
        self.running: set[Job] = set()

    def charge(self, job: Job, cost: float) -> None:
        """Have `job` cost so much in all."""
        self.counter = max(self.counter + (cost - job.charged) / self.weight, self.floor)
        job.charged = cost


_J = TypeVar("_J", bound=Job)


class FairQueue(Generic[_J]):
    """Jobs that wait and run, by tenant."""

    def __init__(self) -> None:
        self.waiting = 0
        self.running = 0
        self._accounts: dict[str, Account] = {}
        self._backlogged: dict[str, Account] = {}
        self._level = 0.0
        """The counter of who was served last from the queue: where a tenant that is not known begins."""
        self._usual_cost = 0.0
        self._arrivals = 0
        self._look_through_at = _FEW

    def start(self, job: _J, tenant: str, weight: float) -> None:
        """Run a job at once. Only while nobody waits: then nobody is wronged, whatever the counters say."""
        self._run(self._account(tenant, weight), job)

    def wait(self, job: _J, tenant: str, weight: float) -> None:
        """Have a job wait for `next`."""
        account = self._account(tenant, weight)
        if not account.waiting:
            self._lift(account)
            self._backlogged[tenant] = account
        self._arrivals += 1
        job.number, job.account = self._arrivals, account
        account.waiting.append(job)
        self.waiting += 1

    def next(self, *, newcomer: bool = False) -> _J | None:
        """The job that goes next, which runs from now on; with `newcomer` only one of a tenant that has none running.

        Returns None where there is none: nobody waits, or whoever is a newcomer was served more than another.
        """
        if not self._backlogged:
            return None
        self._count()
        account = min(self._backlogged.values(), key=_turn)
        if newcomer and account.running:
            level = account.counter
            new = [one for one in self._backlogged.values() if not one.running and one.counter <= level]
            if not new:
                return None
            account = min(new, key=_turn)
        self._level = account.counter
        job = cast(_J, account.waiting.popleft())
        self._run(account, job)
        self._one_less_waits(account)
        return job

    def withdraw(self, job: _J) -> None:
        """Take back a job that waits."""
        account = _account_of(job)
        account.waiting.remove(job)
        self._one_less_waits(account)
        self._forget(account)

    def finish(self, job: _J, prompt_tokens: int, produced: float) -> str:
        """End a job that runs, at what it took in truth, and return whose it was."""
        account = _account_of(job)
        cost = INPUT_TOKEN * prompt_tokens + OUTPUT_TOKEN * produced
        account.charge(job, cost)
        account.running.discard(job)
        self.running -= 1
        self._usual_cost += (cost - self._usual_cost) * _USUAL_SHARE
        if not account.running:
            self._forget(account)
        return account.tenant

    @property
    def accounts(self) -> Collection[Account]:
        """The tenants that are remembered."""
        return self._accounts.values()

    def waiting_of(self, tenant: str) -> int:
        """How many jobs of a tenant wait."""
        account = self._backlogged.get(tenant)
        return len(account.waiting) if account else 0

    def place(self, job: _J) -> int:
        """About which one in the queue a job is, if those before it all take the same: 1 is next."""
        mine = _account_of(job)
        before = mine.waiting.index(job)
        turn = _turn(mine)
        others = (one for one in self._backlogged.values() if one is not mine)
        return 1 + before + sum(min(len(one.waiting), before + (_turn(one) < turn)) for one in others)

    def priority(self, job: _J) -> int:
        """How far ahead a running job's tenant is, with what its jobs are likely to cost; the engine takes from the highest.

        Counted from the level of all, so that it stays small, and means the same from several gateways.
        """
        account = _account_of(job)
        others = len(account.running) - 1
        ahead = account.counter - self._level + others * self._usual_cost / account.weight
        return int(max(-_MOST_PRIORITY, min(ahead, _MOST_PRIORITY)))

    def counter(self, tenant: str) -> float | None:
        """What a tenant was served, by its weight, from a beginning that they all have in common; None if forgotten."""
        account = self._accounts.get(tenant)
        return account.counter if account else None

    def __len__(self) -> int:
        """How many tenants are remembered."""
        return len(self._accounts)

    def _account(self, tenant: str, weight: float) -> Account:
        account = self._accounts.get(tenant)
        if account is None:
            account = self._accounts[tenant] = Account(tenant, self._level)
        account.weight = weight
        return account

    def _run(self, account: Account, job: Job) -> None:
        job.account = account
        account.running.add(job)
        account.charge(job, INPUT_TOKEN * job.prompt_tokens)
        self.running += 1

    def _lift(self, account: Account) -> None:
        """Take from a tenant that comes to wait what it did not use: nobody saves up for later.

        While nobody waits everybody gets what he asks for, so that the first one to wait begins with the most served.
        """
        self._count()
        waiting = min((one.counter for one in self._backlogged.values()), default=None)
        level = max(one.counter for one in self._accounts.values()) if waiting is None else waiting
        self._level = level
        account.counter = account.floor = max(account.counter, level)

    def _count(self) -> None:
        """Charge what the running jobs have produced by now."""
        for account in self._accounts.values():
            for job in account.running:
                account.charge(job, INPUT_TOKEN * job.prompt_tokens + OUTPUT_TOKEN * job.produced())

    def _one_less_waits(self, account: Account) -> None:
        self.waiting -= 1
        if not account.waiting:
            del self._backlogged[account.tenant]
        if not self._backlogged:
            self._forget_all()

    def _forget(self, account: Account) -> None:
        """Forget a tenant without work, unless it could then come back with less than it was served."""
        if account.running or account.waiting:
            return
        if not self._backlogged or account.counter <= self._level:
            self._accounts.pop(account.tenant, None)
        elif len(self._accounts) > self._look_through_at:
            self._forget_all()

    def _forget_all(self) -> None:
        for account in list(self._idle()):
            if not self._backlogged or account.counter <= self._level:
                del self._accounts[account.tenant]
        self._look_through_at = max(_FEW, 2 * len(self._accounts))

    def _idle(self) -> Iterator[Account]:
        return (one for one in self._accounts.values() if not one.running and not one.waiting)


def _account_of(job: Job) -> Account:
    assert job.account is not None
    return job.account


def _turn(account: Account) -> tuple[float, int]:
    """Who is before whom: the least served, and among equals who has waited longest."""
    return account.counter, account.waiting[0].number
