"""An answer counts only where nobody else may have taken over meanwhile."""

import asyncio
import time

import msgspec
import pytest
from uuid_utils.compat import uuid7

from adapters.conversations.exchange import Exchange, Outcome
from adapters.responses.answering import _Record
from adapters.responses.holds import Hold
from tests.records import an_exchange


class Log:
    """Takes everything."""

    def __init__(self) -> None:
        self.taken: list[Exchange] = []

    def require_ready(self) -> None:
        """It is."""

    def commit(self, exchange: Exchange) -> asyncio.Future[None]:
        self.taken.append(exchange)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("left", [60.0, -1.0, None])
async def test_answer_of_a_lost_hold_is_recorded_as_failed(outcome: Outcome, left: float | None) -> None:
    """What had failed anyhow stays what it was, and so does what nobody held."""
    hold = None if left is None else Hold(uuid7(), False, time.monotonic() + left)
    log, exchange = Log(), an_exchange(outcome=outcome)
    record = _Record(log, hold)
    await record.commit(exchange)
    lost = left == -1.0 and outcome in (Outcome.COMPLETED, Outcome.LENGTH)
    assert log.taken == [record.exchange]
    assert record.exchange is not None
    assert record.exchange.outcome is (Outcome.FAILED if lost else outcome)
    if lost:
        assert msgspec.json.decode(record.exchange.error or b"")["code"] == "lease_lost"
        assert record.exchange.answer == exchange.answer
