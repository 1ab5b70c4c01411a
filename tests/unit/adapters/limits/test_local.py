"""A gateway by itself goes on from what the store said last."""

import time
from uuid import uuid4

import pytest

from adapters.access.callers import Limits
from adapters.limits import local
from adapters.limits.local import LocalCounts
from adapters.limits.state import State
from adapters.limits.store import Answer, Demand, Settlement, Subject

SUBJECT = Subject("tenant:x", Limits(tokens_per_month=100, concurrent_requests=3))


def _demand(tokens: int = 10, subject: Subject = SUBJECT) -> Demand:
    return Demand(subjects=(subject,), tokens=tokens, lease=uuid4())


def _told(used: int, later: int = 0, *, taken: bool = True) -> Answer:
    now = time.time_ns() // 1000 + later
    return Answer(taken=taken, states=(State(at=now, month_tokens=used, day_tokens=used),))


def test_the_newest_answer_counts_in_whatever_order_they_come() -> None:
    """An older one that comes later changes nothing, but for its place among those that run."""
    counts = LocalCounts()
    counts.follow(_demand(), _told(70, later=-1))
    counts.follow(_demand(), _told(20, later=-1000))
    found = counts.take(_demand(21))
    assert not found.taken
    assert (found.states[0].month_tokens, found.states[0].running) == (80, 2)
    assert counts.take(_demand(20)).taken


def test_a_refusal_tells_what_others_have_used() -> None:
    """It is followed as well, and takes nothing."""
    counts = LocalCounts()
    counts.follow(_demand(), _told(95, taken=False))
    assert counts.take(_demand(6)).states[0].month_tokens == 95
    assert counts.take(_demand(5)).taken


def test_places_are_this_gateways_own() -> None:
    """They are taken and freed one by one."""
    counts = LocalCounts()
    running = [_demand(0) for _ in range(3)]
    assert all(counts.take(one).taken for one in running)
    assert not counts.take(_demand(0)).taken
    ended = Settlement(subjects=(SUBJECT,), lease=running[0].lease, taken_at=0, reserved=0, used=0)
    counts.settle(ended)
    counts.settle(ended)
    assert counts.take(_demand(0)).taken
    assert not counts.take(_demand(0)).taken


def test_what_is_known_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was seen last is remembered; who is forgotten begins anew."""
    monkeypatch.setattr(local, "_MOST_SUBJECTS", 2)
    counts = LocalCounts()
    subjects = [Subject(f"key:{name}", Limits(tokens_per_month=10)) for name in "abc"]
    for subject in subjects:
        assert counts.take(_demand(10, subject)).taken
    assert [counts.take(_demand(10, subject)).taken for subject in reversed(subjects)] == [False, False, True]
