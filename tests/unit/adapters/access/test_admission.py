"""Places for generations: taken, given back, and ended from outside."""

import asyncio

import pytest

from adapters.access.admission import Admission
from adapters.errors import GatewayError, Overloaded, ShuttingDown
from adapters.settings import AccessSettings


def admission(places: int) -> Admission:
    return Admission(AccessSettings(max_open_generations=places))


async def test_places_run_out_and_come_back() -> None:
    few = admission(2)
    first, _ = few.enter(), few.enter()
    with pytest.raises(Overloaded):
        few.enter()
    first.leave()
    first.leave()
    few.enter()
    with pytest.raises(Overloaded):
        few.enter()


async def test_closed_admission_takes_nobody() -> None:
    few = admission(2)
    few.close()
    with pytest.raises(ShuttingDown):
        few.enter()


async def test_a_slot_that_was_stopped_stops_its_work_once_it_is_known() -> None:
    """The order of stopping and of saying how to stop does not matter."""
    stopped: list[GatewayError] = []
    slot = admission(1).enter()
    slot.stop(ShuttingDown())
    slot.on_stop(stopped.append)
    slot.stop(Overloaded())
    assert [type(error) for error in stopped] == [ShuttingDown]


async def test_draining_waits_for_those_that_finish_and_stops_the_others() -> None:
    few = admission(2)
    quick, slow = few.enter(), few.enter()
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
