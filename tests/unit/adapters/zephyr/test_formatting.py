"""black runs beside the gateway, within limits, and is never in the way."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator

import pytest

from adapters.settings import CodeSettings
from adapters.zephyr.formatting import Formatter

FAST = CodeSettings.model_validate({"black_timeout": 1.0, "black_max_bytes": 4096})
SLOW = "(" * 2000 + ")" * 2000  # black needs many seconds for this, and makes megabytes of it


@pytest.fixture
async def formatter() -> AsyncIterator[Formatter]:
    formatter = Formatter(FAST)
    yield formatter
    await formatter.close()


async def test_code_is_formatted(formatter: Formatter) -> None:
    formatted = await formatter.format("def f( a ):\n  return 'ä'")
    assert (formatted.code, formatted.warning) == ('def f(a):\n    return "ä"\n', None)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def f(:", "cannot parse"),
        ("if x:\npass", "cannot parse"),
        ("print 'a'", "cannot parse"),
        ("x = \x00", "cannot parse"),
        ("#" * 5000, "larger than 4096 bytes"),
        ("x = " + "[" * 150 + "]" * 150, "too large when formatted"),
    ],
)
async def test_code_that_cannot_be_formatted_comes_back_as_it_is(
    formatter: Formatter, code: str, reason: str
) -> None:
    formatted = await formatter.format(code)
    assert formatted.code == code
    assert formatted.warning is not None
    assert reason in formatted.warning


async def test_code_that_takes_too_long_is_given_up_and_the_next_is_formatted(formatter: Formatter) -> None:
    began = time.monotonic()
    formatted = await formatter.format(SLOW)
    assert formatted.code == SLOW
    assert formatted.warning is not None
    assert time.monotonic() - began < 3
    assert (await formatter.format("x=1")).code == "x = 1\n"


async def test_nobody_waits_longer_than_the_limit_for_others(formatter: Formatter) -> None:
    began = time.monotonic()
    found = await asyncio.gather(*[formatter.format(SLOW) for _ in range(20)])
    assert time.monotonic() - began < 10
    assert all(one.warning for one in found)


async def test_the_loop_goes_on_while_black_works(formatter: Formatter) -> None:
    working = asyncio.create_task(formatter.format(SLOW))
    turns = 0
    while not working.done():
        await asyncio.sleep(0.01)
        turns += 1
    assert turns > 10


async def test_a_child_that_is_killed_is_replaced(formatter: Formatter) -> None:
    await formatter.format("x=1")
    assert formatter._child is not None
    os.kill(formatter._child.pid, signal.SIGKILL)
    await formatter._child.wait()
    assert (await formatter.format("x=1")).warning is not None
    assert (await formatter.format("x=1")).code == "x = 1\n"


async def test_whoever_leaves_in_the_middle_does_not_leave_an_answer_to_the_next(
    formatter: Formatter,
) -> None:
    await formatter.format("x=1")
    leaving = asyncio.create_task(formatter.format("(" * 60 + "1" + ")" * 60))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert (await formatter.format("y=2")).code == "y = 2\n"


async def test_many_at_once_are_formatted_one_after_the_other(formatter: Formatter) -> None:
    found = await asyncio.gather(*[formatter.format(f"x={number}") for number in range(20)])
    assert [one.code for one in found] == [f"x = {number}\n" for number in range(20)]


async def test_closing_leaves_no_child_behind() -> None:
    formatter = Formatter(FAST)
    await formatter.format("x=1")
    assert formatter._child is not None
    pid = formatter._child.pid
    await formatter.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    await formatter.close()
