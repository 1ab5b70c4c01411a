"""Every store counts as the arithmetic says, whoever asks at the same time."""

import asyncio
import random
from itertools import cycle
from uuid import UUID, uuid4

import msgspec
import pytest

from adapters.access.callers import Limits
from adapters.limits import state
from adapters.limits.state import DAY, SECOND, State
from adapters.limits.store import Answer, Demand, Settlement, Store, Subject
from tests.integration.limits.conftest import Age

_MOST_BETWEEN = SECOND
"""From a settlement to the look at it, on a busy machine."""


def _demand(*subjects: Subject, tokens: int = 0, lease: UUID | None = None) -> Demand:
    return Demand(subjects=subjects, tokens=tokens, lease=lease or uuid4())


def _ended(demand: Demand, answer: Answer, used: int, *, requests: int = 1) -> Settlement:
    return Settlement(
        subjects=demand.subjects,
        lease=demand.lease,
        taken_at=answer.states[0].at,
        reserved=demand.tokens,
        used=used,
        requests=requests,
    )


@pytest.mark.parametrize(
    ("limits", "tokens"),
    [
        (Limits(requests_per_minute=50), 0),
        (Limits(tokens_per_minute=5_000), 100),
        (Limits(tokens_per_day=5_000), 100),
        (Limits(tokens_per_month=5_000), 100),
        (Limits(concurrent_requests=50), 0),
    ],
    ids=lambda value: next(iter(msgspec.to_builtins(value))) if isinstance(value, Limits) else "",
)
async def test_of_two_hundred_at_once_exactly_fifty_are_let_in(
    stores: list[Store], limits: Limits, tokens: int
) -> None:
    """By two gateways, for one tenant with many keys, whatever the limit is."""
    tenant = Subject("tenant:a", limits)
    demands = [_demand(Subject(f"key:{uuid4()}", Limits()), tenant, tokens=tokens) for _ in range(200)]
    began = asyncio.get_running_loop().time()
    answers = await asyncio.gather(*(store.take(one) for store, one in zip(cycle(stores), demands)))
    took = asyncio.get_running_loop().time() - began
    let = sum(answer.taken for answer in answers)
    drains = limits.requests_per_minute or limits.tokens_per_minute
    assert 50 <= let <= 50 + (took * 50 / 60 if drains else 0)


async def test_keys_that_share_a_tenant_never_wait_for_each_other(stores: list[Store]) -> None:
    """Whatever the order in which they are named, nobody ends in a deadlock, and all are counted."""
    subjects = [Subject(name, Limits(tokens_per_day=10**9)) for name in ("b", "c", "a")]
    random.Random(7).shuffle(subjects)
    demands = [_demand(*random.Random(n).sample(subjects, 3), tokens=1) for n in range(120)]

    async def use(store: Store, demand: Demand) -> None:
        answer = await store.take(demand)
        await store.renew([(subject.name, demand.lease) for subject in demand.subjects])
        await store.settle(_ended(demand, answer, 2))

    await asyncio.gather(*(use(store, one) for store, one in zip(cycle(stores), demands)))
    last = await stores[0].take(_demand(*subjects))
    assert [one.day_tokens for one in last.states] == [240, 240, 240]


async def test_what_one_subject_refuses_no_other_pays_for(stores: list[Store]) -> None:
    """A request that the tenant's limit refuses consumes nothing of the key's."""
    key = Subject(
        "key:x",
        Limits(requests_per_minute=5, tokens_per_minute=500, concurrent_requests=5, tokens_per_day=500),
    )
    tenant = Subject("tenant:x", Limits(tokens_per_minute=100))
    for store in stores:
        refused = await store.take(_demand(key, tenant, tokens=101))
        assert not refused.taken
    after = await stores[0].take(_demand(key, tenant, tokens=0))
    assert after.states == (State(at=after.states[0].at),) * 2


async def test_a_store_counts_as_the_arithmetic_does(stores: list[Store], age: Age) -> None:
    """A random life of two subjects, through days and months, goes as the pure functions say, to the last unit."""
    chance = random.Random(4)
    subjects = (
        Subject("key:m", Limits(requests_per_minute=7, tokens_per_day=4_000)),
        Subject("tenant:m", Limits(tokens_per_minute=997, tokens_per_month=9_000, concurrent_requests=10**4)),
    )
    model: list[State] = [State(), State()]
    open_ones: list[tuple[Demand, Answer]] = []
    decided = set[bool]()
    for _ in range(300):
        store = chance.choice(stores)
        if chance.random() < 0.1:
            passed = chance.choice([SECOND, 20 * SECOND, DAY, 31 * DAY])
            await age(passed)
            model = [msgspec.structs.replace(one, at=one.at - passed) for one in model]
            open_ones = [(demand, _earlier(answer, passed)) for demand, answer in open_ones]
            continue
        if open_ones and chance.random() < 0.4:
            demand, answer = open_ones.pop(chance.randrange(len(open_ones)))
            settlement = _ended(
                demand, answer, chance.choice([0, demand.tokens, 700]), requests=chance.choice([0, 1, 1])
            )
            await store.settle(settlement)
            probe = await store.take(_demand(*subjects, tokens=10**9))
            now = probe.states[0].at
            model = [
                _after(settlement, subject, one, now) for subject, one in zip(subjects, model, strict=True)
            ]
            _assert_close(probe.states, model, subjects)
            model = list(probe.states)
            continue
        demand = _demand(*subjects, tokens=chance.choice([0, 50, 400, 997]))
        answer = await store.take(demand)
        now = answer.states[0].at
        model = [state.at(now, one, subject.limits) for subject, one in zip(subjects, model, strict=True)]
        model = [
            msgspec.structs.replace(one, running=told.running)
            for one, told in zip(model, answer.states, strict=True)
        ]
        assert answer.states == tuple(model)
        pairs = list(zip(subjects, model, strict=True))
        assert answer.taken == all(state.fits(one, subject.limits, demand.tokens) for subject, one in pairs)
        decided.add(answer.taken)
        if answer.taken:
            model = [state.taken(one, subject.limits, demand.tokens) for subject, one in pairs]
            open_ones.append((demand, answer))
    assert decided == {True, False}


def _earlier(answer: Answer, passed: int) -> Answer:
    states = tuple(msgspec.structs.replace(one, at=one.at - passed) for one in answer.states)
    return msgspec.structs.replace(answer, states=states)


def _after(settlement: Settlement, subject: Subject, kept: State, now: int) -> State:
    return state.settled(
        state.at(now, kept, subject.limits),
        subject.limits,
        taken_at=settlement.taken_at,
        reserved=settlement.reserved,
        used=settlement.used,
        requests=settlement.requests,
    )


def _assert_close(told: tuple[State, ...], model: list[State], subjects: tuple[Subject, ...]) -> None:
    """The settlement was a moment earlier than the look at it: what drained between may differ, and nothing else."""
    for one, other, subject in zip(told, model, subjects, strict=True):
        drained = (subject.limits.tokens_per_minute or 0) * _MOST_BETWEEN
        assert (one.day_tokens, one.month_tokens) == (other.day_tokens, other.month_tokens)
        assert abs(one.tokens - other.tokens) <= drained
        assert abs(one.requests - other.requests) <= 7 * _MOST_BETWEEN


@pytest.mark.parametrize("lease", [0.6])
async def test_the_place_of_a_gateway_that_was_killed_is_free_after_a_while(
    stores: list[Store], lease: float
) -> None:
    """A lease that is renewed lasts; one that is not ends by itself, and one that is settled at once."""
    subject = Subject("tenant:c", Limits(concurrent_requests=2))
    living, dead = _demand(subject), _demand(subject)
    taken = await stores[0].take(living)
    assert (await stores[1].take(dead)).taken
    assert not (await stores[0].take(_demand(subject))).taken
    for _ in range(5):
        await asyncio.sleep(lease / 3)
        await stores[0].renew([(subject.name, living.lease)])
    third = await stores[1].take(_demand(subject))
    assert (third.taken, third.states[0].running) == (True, 1)
    assert not (await stores[1].take(_demand(subject))).taken
    await stores[0].settle(_ended(living, taken, 0))
    assert (await stores[1].take(_demand(subject))).taken


async def test_used_is_counted_instead_of_reserved(stores: list[Store]) -> None:
    """Less is given back, more is charged; a refusal after all gives back the request too."""
    subject = Subject(
        "key:s", Limits(requests_per_minute=10, tokens_per_minute=60_000, tokens_per_month=10**6)
    )
    for used, requests in ((10, 1), (900, 1), (0, 0)):
        demand = _demand(subject, tokens=500)
        answer = await stores[0].take(demand)
        await stores[1].settle(_ended(demand, answer, used, requests=requests))
    found = (await stores[0].take(_demand(subject))).states[0]
    assert (found.day_tokens, found.month_tokens) == (910, 910)
    checked = {check.limit: check.used for check in state.checks(found, subject.limits, 0)}
    assert checked["requests_per_minute"] == 2
    assert 0 <= checked["tokens_per_minute"] <= 910


async def test_a_subject_that_nobody_knew_is_charged_too(stores: list[Store]) -> None:
    """What was used while the store was away is counted afterwards, without having been reserved there."""
    subject = Subject("key:n", Limits(tokens_per_month=100))
    now = (await stores[0].take(_demand(Subject("other", Limits())))).states[0].at
    settlement = Settlement(subjects=(subject,), lease=uuid4(), taken_at=now, reserved=0, used=70)
    await stores[0].settle(settlement)
    assert not (await stores[1].take(_demand(subject, tokens=31))).taken
    assert (await stores[1].take(_demand(subject, tokens=30))).taken
