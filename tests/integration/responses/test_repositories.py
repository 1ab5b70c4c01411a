"""Conversations, open responses and their events in a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest
from uuid_utils.compat import uuid7

from adapters.conversations.errors import ConversationTooLong
from adapters.conversations.exchange import Exchange, Outcome
from adapters.conversations.repository import ExchangeRepository
from adapters.conversations.writer import ExchangeWriter
from adapters.database.session import create_engine
from adapters.errors import Cancelled, GatewayError
from adapters.responses.conversation_repository import ConversationRepository
from adapters.responses.errors import ConversationLocked, ConversationNotFound, LeaseLost
from adapters.responses.holds import Holds
from adapters.responses.ids import id_after
from adapters.responses.repository import ResponseRepository
from adapters.responses.response import ENDPOINT, Facts
from tests.databases import fetch, log_settings
from tests.records import an_exchange

ME, THEM = "me", "them"
ITEM = b'{"role": "user", "content": "Hi"}'


@dataclass
class Parts:
    """What works on one database."""

    url: str
    writer: ExchangeWriter
    conversations: ConversationRepository
    responses: ResponseRepository

    async def said(self, conversation: UUID, **changes: Any) -> Exchange:
        values: dict[str, Any] = {"caller": ME, "endpoint": ENDPOINT, "conversation_id": conversation}
        exchange = an_exchange(**values | changes)
        await self.writer.commit(exchange)
        return exchange

    async def let_lapse(self) -> None:
        await fetch(self.url, "UPDATE open_responses SET lease_until = now() - interval '1 second'")


@pytest.fixture
async def parts(database_url: str) -> AsyncIterator[Parts]:
    writer = ExchangeWriter(log_settings(database_url))
    await writer.start()
    engine = create_engine(log_settings(database_url))
    log = ExchangeRepository(engine, page_bytes=2**20)
    yield Parts(database_url, writer, ConversationRepository(log, page_bytes=2**20), ResponseRepository(log))
    await writer.close()
    await engine.dispose()


def facts(id: UUID | None = None) -> Facts:
    return Facts(
        id=id or uuid7(),
        status="queued",
        model="a-model",
        input=b'"Hi"',
        parameters=b'{"background": true}',
        metadata=b'{"a": "b"}',
    )


async def test_callers_do_not_see_each_other(parts: Parts) -> None:
    """Another's conversation, item, open response and events are not there."""
    mine = await parts.conversations.create(ME, b"{}", [ITEM])
    (added,) = await parts.conversations.everything(ME, mine.id)
    exchange = await parts.said(mine.id)
    one = facts()
    await parts.responses.open(ME, one, conversation=mine.id, background=True, lease=30)
    await parts.responses.add_events(ME, one.id, 0, 0, b'[{"sequence_number": 0}]')
    assert await parts.responses.find_open(ME, one.id)
    assert await parts.responses.events(ME, one.id, -1)
    assert await parts.responses.find_open(THEM, one.id) is None
    assert await parts.responses.events(THEM, one.id, -1) == []
    assert await parts.responses.last_event(THEM, one.id) is None
    await parts.responses.request_cancel(THEM, one.id)
    await parts.responses.delete_events(THEM, one.id)
    assert await parts.responses.renew([one.id], 30) == {one.id: False}
    assert await parts.responses.events(ME, one.id, -1)
    for id in (added.id, exchange.id):
        assert await parts.conversations.entry(ME, mine.id, id)
        assert await parts.conversations.entry(THEM, mine.id, id) is None
        assert await parts.conversations.entry(THEM, None, id) is None
    for refused in (
        parts.conversations.conversation(THEM, mine.id),
        parts.conversations.set_metadata(THEM, mine.id, b"{}"),
    ):
        with pytest.raises(ConversationNotFound):
            await refused
    await parts.conversations.delete(THEM, mine.id)
    await parts.conversations.hide(THEM, mine.id, "msg_x")
    assert (await parts.conversations.conversation(ME, mine.id)).hidden == frozenset()
    assert [entry.id for entry in await parts.conversations.entries(THEM, mine.id)] == [added.id]


async def test_conversation_is_in_the_order_of_ids(parts: Parts) -> None:
    """Exchanges and added items, page by page in either direction; what failed, was deleted or is no response is not in it."""
    conversation = await parts.conversations.create(ME, b"{}", [ITEM] * 3)
    id = conversation.id
    for _ in range(30):
        await parts.said(id)
        await parts.conversations.add(id, [ITEM])
    for other in (
        {"outcome": Outcome.FAILED},
        {"outcome": Outcome.CLIENT_GONE},
        {"endpoint": "/v1/chat/completions"},
        {"caller": THEM},
    ):
        await parts.said(id, **other)
    everything = [entry.id for entry in await parts.conversations.everything(ME, id)]
    assert len(everything) == 63
    assert everything == sorted(everything)
    newest = await parts.conversations.entries(ME, id, ascending=False, limit=5)
    assert [entry.id for entry in newest] == everything[:-6:-1]
    following = await parts.conversations.entries(ME, id, start=everything[10], limit=5)
    assert [entry.id for entry in following] == everything[10:15]
    some = await parts.conversations.everything(ME, id, up_to=everything[41])
    assert [entry.id for entry in some] == everything[:42]
    last = await parts.conversations.last_id(id)
    assert last and last > everything[-1]  # what failed has an id too


async def test_what_is_added_sorts_last_whatever_the_clock_says(parts: Parts) -> None:
    """An exchange from a clock that is a day ahead does not come after what was added later."""
    conversation = await parts.conversations.create(ME, b"{}", [])
    ahead = UUID(int=uuid7().int + (86_400_000 << 80))
    await parts.said(conversation.id, id=ahead)
    (added,) = await parts.conversations.add(conversation.id, [ITEM])
    assert added.id > ahead
    assert [one.id for one in await parts.conversations.everything(ME, conversation.id)] == [ahead, added.id]


async def test_conversation_that_is_too_long_is_not_answered(parts: Parts) -> None:
    """Neither by its texts nor by its entries; it can still be listed."""
    conversation = await parts.conversations.create(ME, b"{}", [])
    for _ in range(3):
        await parts.said(conversation.id, input=b'"' + b"x" * 2**19 + b'"')
    with pytest.raises(ConversationTooLong):
        await parts.conversations.everything(ME, conversation.id)
    assert len(await parts.conversations.entries(ME, conversation.id)) == 3
    other = await parts.conversations.create(ME, b"{}", [ITEM] * 1001)
    with pytest.raises(ConversationTooLong):
        await parts.conversations.everything(ME, other.id)


async def test_a_conversation_is_held_by_one(parts: Parts) -> None:
    """Of twenty at once; and by the next only when the first has ended with its exchange, or its lease is over."""
    id = (await parts.conversations.create(ME, b"{}", [])).id
    all_of_them = [facts() for _ in range(20)]
    opened = await asyncio.gather(
        *(parts.responses.open(ME, one, conversation=id, background=False, lease=30) for one in all_of_them),
        return_exceptions=True,
    )
    assert sorted(type(result).__name__ for result in opened) == ["ConversationLocked"] * 19 + ["NoneType"]
    first = all_of_them[opened.index(None)]
    assert not await parts.responses.close(first.id)
    with pytest.raises(ConversationLocked):
        await parts.responses.open(ME, facts(), conversation=id, background=False, lease=30)
    await parts.said(id, id=first.id)
    assert await parts.responses.close(first.id)
    assert await parts.responses.close(first.id)
    second, third = facts(), facts()
    await parts.responses.open(ME, second, conversation=id, background=True, lease=30)
    await parts.let_lapse()
    await parts.responses.open(ME, third, conversation=id, background=False, lease=30)
    assert await parts.responses.renew([second.id, third.id], 30) == {third.id: False}
    found = await parts.responses.find_open(ME, second.id)
    assert found and (found.alive, found.facts.status) == (False, "failed")
    assert found.facts.error and b"gateway_gone" in found.facts.error


async def test_what_is_known_of_an_open_response(parts: Parts) -> None:
    """From queued to its end without an exchange."""
    one = facts()
    await parts.responses.open(ME, one, conversation=None, background=True, lease=30)
    found = await parts.responses.find_open(ME, one.id)
    assert found and found.facts == one
    await parts.responses.start(one.id)
    found = await parts.responses.find_open(ME, one.id)
    assert found and (found.alive, found.facts.status) == (True, "in_progress")
    await parts.responses.request_cancel(ME, one.id)
    assert await parts.responses.renew([one.id], 30) == {one.id: True}
    await parts.responses.close_failed(one.id, b'{"message": "no"}')
    found = await parts.responses.find_open(ME, one.id)
    assert found and (found.alive, found.facts.status) == (False, "failed")
    assert found.facts.error == b'{"message": "no"}'


async def test_events_are_read_after_a_number(parts: Parts) -> None:
    """Whatever they were kept together with; keeping some again changes nothing."""
    id = uuid7()
    for first in range(0, 100, 4):
        some = [{"type": "x", "sequence_number": number} for number in range(first, first + 4)]
        for _ in range(2):
            await parts.responses.add_events(ME, id, first, first + 3, msgspec.json.encode(some))
    read: list[int] = []
    after = 5
    while events := await parts.responses.events(ME, id, after):
        numbers = [msgspec.json.decode(event)["sequence_number"] for event in events]
        read += numbers
        after = numbers[-1]
    assert read == list(range(6, 100))
    last = await parts.responses.last_event(ME, id)
    assert last and msgspec.json.decode(last)["sequence_number"] == 99


async def test_events_that_come_after_a_deletion_are_not_kept(parts: Parts) -> None:
    """The last ones are written when the exchange is there already, and so can be deleted."""
    exchange = await parts.said(uuid7(), deleted_at=datetime.now(UTC))
    await parts.responses.add_events(ME, exchange.id, 0, 0, b'[{"sequence_number": 0}]')
    assert await parts.responses.events(ME, exchange.id, -1) == []


@pytest.fixture
async def holds(parts: Parts) -> AsyncIterator[Holds]:
    holds = Holds(parts.responses, parts.conversations, lease=1.0)
    holds.start()
    yield holds
    await holds.end()


async def test_a_hold_lasts_for_as_long_as_it_is_renewed(parts: Parts, holds: Holds) -> None:
    """Longer than its lease; then it is given back, and nothing of it is left."""
    id = (await parts.conversations.create(ME, b"{}", [])).id
    hold = await holds.take(ME, facts(), conversation=id)
    await asyncio.sleep(1.5)
    assert not hold.lost
    with pytest.raises(ConversationLocked):
        await holds.take(ME, facts(), conversation=id)
    await parts.said(id, id=hold.id)
    await holds.close(hold)
    assert await fetch(parts.url, "SELECT FROM open_responses") == []
    await holds.drop(await holds.take(ME, facts(), conversation=id))


async def test_a_hold_that_is_lost_stops_its_response(parts: Parts, holds: Holds) -> None:
    """And so does a cancellation from elsewhere."""
    stopped: list[GatewayError] = []
    id = (await parts.conversations.create(ME, b"{}", [])).id
    lost = await holds.take(ME, facts(), conversation=id)
    cancelled = await holds.take(ME, facts(), conversation=None, background=True)
    lost.stop = cancelled.stop = stopped.append
    await parts.responses.request_cancel(ME, cancelled.id)
    await fetch(parts.url, "DELETE FROM open_responses WHERE id = $1", lost.id)
    await asyncio.sleep(0.6)
    assert lost.lost and not cancelled.lost
    assert {type(error) for error in stopped} == {LeaseLost, Cancelled}


async def test_an_id_of_a_conversation_ascends_when_it_is_held(parts: Parts, holds: Holds) -> None:
    """Whatever the clock of whoever was there before."""
    id = (await parts.conversations.create(ME, b"{}", [])).id
    ahead = UUID(int=uuid7().int + (86_400_000 << 80))
    await parts.said(id, id=ahead)
    asked = facts()
    hold = await holds.take(ME, asked, conversation=id)
    assert hold.id == id_after(ahead, asked.id) > ahead
    await parts.said(id, id=hold.id)
    await holds.close(hold)
    assert await fetch(parts.url, "SELECT FROM open_responses") == []


async def test_a_conversation_stays_held_until_postgresql_has_what_was_said(
    parts: Parts, holds: Holds
) -> None:
    """An exchange that waits in a spool would not be seen by whoever answers next."""
    id = (await parts.conversations.create(ME, b"{}", [])).id
    hold = await holds.take(ME, facts(), conversation=id)
    await holds.close(hold)
    with pytest.raises(ConversationLocked):
        await holds.take(ME, facts(), conversation=id)
    await parts.said(id, id=hold.id)
    await asyncio.sleep(0.6)
    await holds.drop(await holds.take(ME, facts(), conversation=id))
