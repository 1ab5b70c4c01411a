"""Places for generations: taken, waited for, given back, and ended from outside."""

import asyncio

import pytest

from adapters.access.admission import Admission, Slot, TooManyWaiting, Turns
from adapters.errors import GatewayError, Overloaded, ShuttingDown
from adapters.settings import AccessSettings


def admission(places: int) -> Admission:
    return with_settings(max_open_generations=places)


def with_settings(**values: float) -> Admission:
    return Admission(AccessSettings(**values))  # type: ignore[arg-type]  # the rest has defaults


async def waited(slot: Slot) -> str:
    """What became of a slot's waiting."""
    try:
        await slot.turn(None)
    except GatewayError as error:
        return type(error).__name__
    return "went"


async def test_places_run_out_and_come_back() -> None:
    few = admission(2)
    first, _ = few.enter("local", 1.0, 8), few.enter("local", 1.0, 8)
    with pytest.raises(Overloaded):
        few.enter("local", 1.0, 8)
    first.leave()
    first.leave()
    few.enter("local", 1.0, 8)
    with pytest.raises(Overloaded):
        few.enter("local", 1.0, 8)


async def test_closed_admission_takes_nobody() -> None:
    few = admission(2)
    few.close()
    with pytest.raises(ShuttingDown):
        few.enter("local", 1.0, 8)


async def test_a_slot_that_was_stopped_stops_its_work_once_it_is_known() -> None:
    """The order of stopping and of saying how to stop does not matter."""
    stopped: list[GatewayError] = []
    slot = admission(1).enter("local", 1.0, 8)
    slot.stop(ShuttingDown())
    slot.on_stop(stopped.append)
    slot.stop(Overloaded())
    assert [type(error) for error in stopped] == [ShuttingDown]


async def test_draining_waits_for_those_that_finish_and_stops_the_others() -> None:
    few = admission(2)
    quick, slow = few.enter("local", 1.0, 8), few.enter("local", 1.0, 8)
    stopped: list[GatewayError] = []

    def end_slow(error: GatewayError) -> None:
        stopped.append(error)
        slow.leave()

    slow.on_stop(end_slow)
    quick.on_stop(stopped.append)
    asyncio.get_running_loop().call_later(0.02, quick.leave)
    await few.drain(0.1)
    assert [type(error) for error in stopped] == [ShuttingDown]
    assert few.open == 0


async def test_draining_nothing_takes_no_time() -> None:
    await asyncio.wait_for(admission(1).drain(60), 1)


async def test_who_finds_a_place_does_not_wait_and_the_others_do() -> None:
    few = with_settings(engine_concurrency=1, engine_spare=0)
    first, second = few.enter("local", 1.0, 8), few.enter("local", 1.0, 8)
    assert (first.waits, second.waits) == (False, True)
    assert (few.open, few.waiting) == (2, 1)
    waiting = asyncio.create_task(waited(second))
    await asyncio.sleep(0)
    first.leave(8, 1)
    assert await waiting == "went"
    assert (few.open, few.waiting) == (1, 0)
    second.leave()
    assert few.open == 0
    assert not few.enter("local", 1.0, 8).waits


async def test_a_turn_that_comes_before_it_is_waited_for_is_kept() -> None:
    few = with_settings(engine_concurrency=1, engine_spare=0)
    first, second = few.enter("local", 1.0, 8), few.enter("local", 1.0, 8)
    first.leave()
    assert not second.waits


async def test_a_newcomer_goes_at_once() -> None:
    """Also where all usual places are taken: it does not wait for another tenant's answer to end."""
    few = with_settings(engine_concurrency=1, engine_spare=1)
    many = [few.enter("many", 1.0, 8) for _ in range(3)]
    assert [slot.waits for slot in many] == [False, True, True]
    assert not few.enter("one", 1.0, 8).waits
    assert few.enter("two", 1.0, 8).waits


async def test_whoever_is_stopped_leaves_the_queue_at_once() -> None:
    """Its turn goes to nobody who is not there any more."""
    few = with_settings(engine_concurrency=1, engine_spare=0)
    first, gone, next = (few.enter("local", 1.0, 8) for _ in range(3))
    tasks = [asyncio.create_task(waited(slot)) for slot in (gone, next)]
    await asyncio.sleep(0)
    gone.stop(ShuttingDown())
    assert few.waiting == 1
    first.leave()
    assert [await task for task in tasks] == ["ShuttingDown", "went"]
    gone.leave()
    next.leave()
    assert few.open == 0


async def test_whoever_was_stopped_before_it_waits_does_not_wait() -> None:
    few = with_settings(engine_concurrency=1, engine_spare=0)
    few.enter("local", 1.0, 8)
    gone = few.enter("local", 1.0, 8)
    gone.stop(ShuttingDown())
    assert await waited(gone) == "ShuttingDown"
    assert few.waiting == 0


async def test_a_task_that_is_cancelled_gives_its_place_in_the_queue_back() -> None:
    few = with_settings(engine_concurrency=1, engine_spare=0)
    first, gone, last = (few.enter("local", 1.0, 8) for _ in range(3))
    task = asyncio.create_task(waited(gone))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    gone.leave()
    first.leave()
    assert not last.waits
    assert few.open == 1


async def test_waiting_has_an_end() -> None:
    few = with_settings(engine_concurrency=1, engine_spare=0, longest_wait=0.02)
    few.enter("local", 1.0, 8)
    slot = few.enter("local", 1.0, 8)
    assert await waited(slot) == "WaitedTooLong"
    assert few.waiting == 0


async def test_one_tenant_cannot_fill_the_queue() -> None:
    """Its own requests are refused; another's wait."""
    few = with_settings(engine_concurrency=1, engine_spare=0, max_waiting_of_tenant=2)
    for _ in range(3):
        few.enter("many", 1.0, 8)
    with pytest.raises(TooManyWaiting) as refused:
        few.enter("many", 1.0, 8)
    assert (refused.value.status, refused.value.retry_after) == (429, 1)
    assert few.enter("one", 1.0, 8).waits


async def test_closing_ends_those_that_wait_too() -> None:
    few = with_settings(engine_concurrency=1, engine_spare=0)
    slots = [few.enter("local", 1.0, 8) for _ in range(3)]

    async def work(slot: Slot) -> str:
        try:
            return await waited(slot)
        finally:
            slot.leave()

    slots[0].on_stop(lambda _: slots[0].leave())
    tasks = [asyncio.create_task(work(slot)) for slot in slots[1:]]
    await asyncio.sleep(0)
    await few.drain(0.02)
    assert set(await asyncio.gather(*tasks)) <= {"ShuttingDown", "went"}
    assert few.open == 0


async def test_those_that_wait_are_told_their_place_when_it_changes() -> None:
    few = with_settings(engine_concurrency=1, engine_spare=0, place_told_after=0.01)
    first, second, third = (few.enter("local", 1.0, 8) for _ in range(3))
    told: list[int] = []

    async def tell(place: int) -> None:
        told.append(place)

    turn = asyncio.create_task(third.turn(tell))
    await asyncio.sleep(0.05)
    first.leave()
    await asyncio.sleep(0.05)
    assert told == [2, 1]
    second.leave()
    await turn


async def test_a_plain_answer_is_counted_by_the_time_it_takes() -> None:
    """Nothing is seen of it before its end: it counts as what answers usually get, up to what it may have."""
    few = with_settings(engine_concurrency=8)
    first = few.enter("local", 1.0, 8)
    await asyncio.sleep(0.02)
    first.leave(8, 1600)
    plain, short, streamed = (few.enter("local", 1.0, 8) for _ in range(3))
    short.count(None, 2)
    streamed.count(lambda: 7, None)
    await asyncio.sleep(0.02)
    assert plain.produced() > 10
    assert short.produced() == 2
    assert streamed.produced() == 7


def test_the_time_to_wait_is_learned_from_those_who_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    """One in two seconds: thirty wait a minute, and nobody is sent away for longer."""
    now = 0.0
    monkeypatch.setattr("adapters.access.admission.time.monotonic", lambda: now)
    turns = Turns()
    assert turns.seconds(30) == 1
    for _ in range(200):
        now += 2
        turns.note(last=False)
    assert turns.seconds(1) == 2
    assert turns.seconds(20) == 40
    assert turns.seconds(1000) == 60
