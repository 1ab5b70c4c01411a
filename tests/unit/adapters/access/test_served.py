"""What whoever runs the gateway is told of tenants: what they have, and what they were served."""

from adapters.access.admission import Admission
from adapters.access.served import MOST_SHOWN, Served
from adapters.settings import AccessSettings


def admission(places: int) -> Admission:
    return Admission(AccessSettings(engine_concurrency=places, engine_spare=0))  # type: ignore[call-arg]


def test_tenants_are_told_with_what_they_have() -> None:
    """Those that wait before those that only run, and these before those that have ended."""
    few = admission(2)
    few.enter("idle", 1.0, 5).leave(7, 11)
    running = few.enter("runs", 1.0, 10)
    running.count(lambda: 4, None)
    for _ in range(3):
        few.enter("waits", 1.0, 20)
    status = few.status()
    assert [one.tenant for one in status.tenants] == ["waits", "runs", "idle"]
    waits, runs, idle = status.tenants
    assert (waits.running, waits.waiting, waits.prompt_tokens) == (1, 2, 20)
    assert (runs.running, runs.waiting, runs.prompt_tokens, runs.answer_tokens) == (1, 0, 10, 4)
    assert (idle.running, idle.waiting, idle.prompt_tokens, idle.answer_tokens) == (0, 0, 7, 11)
    assert (status.open, status.running, status.waiting, status.places) == (4, 2, 2, 2)


def test_what_was_served_is_what_it_took_in_truth() -> None:
    """Not what was estimated at first; and it adds up."""
    few = admission(2)
    for _ in range(3):
        few.enter("one", 1.0, 1000).leave(7, 11)
    few.enter("one", 1.0, 1000).leave(0, 0)  # the engine refused it
    (one,) = few.status().tenants
    assert (one.prompt_tokens, one.answer_tokens) == (21, 33)


def test_no_more_tenants_are_told_than_fit_a_page() -> None:
    """The others are counted."""
    few = admission(2)
    for number in range(MOST_SHOWN + 8):
        few.enter(f"tenant-{number}", 1.0, 1).leave(1, 1)
    status = few.status()
    assert len(status.tenants) == MOST_SHOWN
    assert status.other_tenants == 8
    assert status.tenants[0].tenant == f"tenant-{MOST_SHOWN + 7}"


def test_tenants_that_were_not_served_for_long_are_forgotten() -> None:
    """Memory is bounded, whatever names there are; whoever comes back begins anew."""
    served = Served()
    served.note("first", 1, 1)
    for number in range(999):
        served.note(f"tenant-{number}", 1, 1)
    served.note("first", 1, 1)
    served.note("another", 1, 1)
    assert len(served.latest()) == 1000
    assert served.of("first").prompt == 2
    assert served.of("tenant-0").prompt == 0
