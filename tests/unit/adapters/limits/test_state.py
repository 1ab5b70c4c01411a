"""What the limits promise, for whatever comes in whatever order."""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.access.callers import Limits
from adapters.limits import state
from adapters.limits.state import DAY, MINUTE, SECOND, State

_START = int(datetime(2028, 2, 29, 23, 58, tzinfo=UTC).timestamp()) * SECOND
_sizes = st.sampled_from([500, 1_000]) | st.integers(1, 10_000)
_limits = st.builds(
    Limits,
    requests_per_minute=st.none() | st.integers(1, 50),
    tokens_per_minute=st.none() | _sizes,
    tokens_per_day=st.none() | _sizes,
    tokens_per_month=st.none() | _sizes,
)


@dataclass(frozen=True)
class _Asked:
    after: int
    """Microseconds since the one before."""
    reserved: int
    used: int
    lasts: int


_times = st.sampled_from([0, 1, SECOND, 30 * SECOND, MINUTE - 1, MINUTE]) | st.integers(0, 2 * MINUTE)
_asked = st.lists(
    st.builds(
        lambda after, reserved, part, lasts: _Asked(after, reserved, reserved * part // 100, lasts),
        _times | st.just(DAY),
        st.sampled_from([100, 500, 1_000]) | st.integers(0, 1_000),
        st.sampled_from([0, 100]) | st.integers(0, 100),
        _times,
    ),
    max_size=40,
)


@dataclass(frozen=True)
class _Let:
    """A request that was let in."""

    at: int
    used: int


_REFUNDED_LATE = [
    # What the first has given back had drained before, and the second has had it already.
    _Asked(after=0, reserved=100, used=0, lasts=2 * MINUTE),
    _Asked(after=2 * MINUTE - 1, reserved=100, used=100, lasts=DAY),
    _Asked(after=1, reserved=100, used=100, lasts=DAY),
]


def _simulate(limits: Limits, asked: list[_Asked]) -> list[_Let]:
    now, kept, running, let = _START, State(), list[tuple[int, int, _Asked]](), list[_Let]()
    for one in asked:
        now += one.after
        for ends, taken_at, ended in sorted(running, key=lambda entry: entry[0]):
            if ends <= now:
                running.remove((ends, taken_at, ended))
                kept = state.settled(
                    state.at(ends, kept, limits),
                    limits,
                    taken_at=taken_at,
                    reserved=ended.reserved,
                    used=ended.used,
                    requests=1,
                )
        kept = state.at(now, kept, limits)
        if state.fits(kept, limits, one.reserved):
            kept = state.taken(kept, limits, one.reserved)
            running.append((kept.at + one.lasts, kept.at, one))
            let.append(_Let(kept.at, one.used))
    return let


@given(_limits, _asked)
@example(Limits(tokens_per_minute=100), _REFUNDED_LATE)
def test_no_window_holds_more_than_the_limit_and_what_drained_in_it(
    limits: Limits, asked: list[_Asked]
) -> None:
    """In any w seconds at most L * (1 + w / 60), of requests and of the tokens that they used, settled or not."""
    let = _simulate(limits, asked)
    for first in range(len(let)):
        requests = tokens = 0
        for one in let[first:]:
            requests, tokens, width = requests + 1, tokens + one.used, one.at - let[first].at
            if limits.requests_per_minute is not None:
                assert requests * MINUTE <= limits.requests_per_minute * (MINUTE + width)
            if limits.tokens_per_minute is not None:
                assert tokens * MINUTE <= limits.tokens_per_minute * (MINUTE + width)


@given(_limits, _asked)
def test_no_day_and_no_month_holds_more_than_its_limit(limits: Limits, asked: list[_Asked]) -> None:
    """By the calendar, in UTC, at the moment at which a request began."""
    days, months = dict[int, int](), dict[int, int]()
    for one in _simulate(limits, asked):
        day, month = state.day_of(one.at)[0], state.month_of(one.at)[0]
        days[day] = days.get(day, 0) + one.used
        months[month] = months.get(month, 0) + one.used
    assert limits.tokens_per_day is None or max(days.values(), default=0) <= limits.tokens_per_day
    assert limits.tokens_per_month is None or max(months.values(), default=0) <= limits.tokens_per_month


_states = st.builds(
    State,
    at=st.integers(_START, _START + 40 * DAY),
    requests=st.integers(0, 200 * MINUTE),
    tokens=st.integers(0, 20_000 * MINUTE),
    day_tokens=_sizes,
    month_tokens=_sizes,
)


@given(_states, _limits, st.integers(0, 12_000))
def test_the_time_to_wait_is_true(kept: State, limits: Limits, tokens: int) -> None:
    """At that time it fits if nobody spends meanwhile; a microsecond earlier it does not."""
    kept = state.at(kept.at, kept, limits)
    waits = [check.wait for check in state.checks(kept, limits, tokens)]
    assert state.fits(kept, limits, tokens) == all(wait == 0 for wait in waits)
    longest = max((wait for wait in waits if wait is not None), default=0)
    if None in waits:
        assert not state.fits(state.at(kept.at + 400 * DAY, kept, limits), limits, tokens)
    elif longest:
        assert state.fits(state.at(kept.at + longest, kept, limits), limits, tokens)
        assert not state.fits(state.at(kept.at + longest - 1, kept, limits), limits, tokens)


@given(_states, _limits, st.integers(0, 3_000), st.integers(0, MINUTE))
def test_what_is_given_back_at_once_leaves_no_trace(
    kept: State, limits: Limits, tokens: int, later: int
) -> None:
    """A request that was refused after all has consumed nothing; given back later, it never frees more than it took."""
    before = state.at(kept.at, kept, limits)
    took = state.taken(before, limits, tokens)
    back = state.settled(took, limits, taken_at=took.at, reserved=tokens, used=0, requests=0)
    assert back == before
    then = state.at(took.at + later, took, limits)
    back = state.settled(then, limits, taken_at=took.at, reserved=tokens, used=0, requests=0)
    untouched = state.at(before.at + later, before, limits)
    assert back.requests >= untouched.requests
    assert back.tokens >= untouched.tokens


def test_what_was_used_beyond_the_estimate_is_owed() -> None:
    """A request that used four times its limit keeps the next one waiting for three minutes."""
    limits = Limits(tokens_per_minute=100)
    took = state.taken(State(at=_START), limits, 100)
    ended = state.settled(took, limits, taken_at=_START, reserved=100, used=400, requests=1)
    (check,) = state.checks(ended, limits, 100)
    assert (check.used, check.wait) == (400, 4 * MINUTE)


@pytest.mark.parametrize("size", [1, 3, 7, 50, 59, 61, 9_999])
def test_a_full_burst_is_the_whole_limit(size: int) -> None:
    """No rounding takes one away, or adds one."""
    limits, kept = Limits(requests_per_minute=size), State(at=_START)
    for _ in range(size):
        assert state.fits(kept, limits, 0)
        kept = state.taken(kept, limits, 0)
    assert not state.fits(kept, limits, 0)


def test_months_are_those_of_the_calendar() -> None:
    """They follow each other without a gap, through leap years, whatever the moment asked about."""
    months, moment = [], int(datetime(2027, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()) * SECOND
    for _ in range(30):
        months.append(state.month_of(moment))
        moment = months[-1][1] + 27 * DAY
    assert all(earlier[1] == later[0] for earlier, later in pairwise(months))
    firsts = [datetime.fromtimestamp(start // SECOND, UTC) for start, _ in months]
    assert {(first.day, first.hour) for first in firsts} == {(1, 0)}
    assert firsts[2:4] == [datetime(2028, 2, 1, tzinfo=UTC), datetime(2028, 3, 1, tzinfo=UTC)]
