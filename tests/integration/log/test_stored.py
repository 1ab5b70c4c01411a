"""Stored exchanges in a real PostgreSQL: who sees which, in which order, by which index."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from adapters.conversations.entries import encode
from adapters.conversations.errors import ExchangeNotFound, LogUnavailable
from adapters.conversations.exchange import Exchange, Outcome
from adapters.conversations.repository import ExchangeRepository, Page, insert_statement, row
from adapters.conversations.spool import Spool
from adapters.conversations.spool_file import Record
from adapters.conversations.stored import StoredExchanges
from adapters.conversations.writer import ExchangeWriter
from adapters.database.session import create_engine
from tests.databases import fetch, log_settings
from tests.integration.log.plans import scanned_whole
from tests.records import an_exchange

CHAT = "/v1/chat/completions"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(log_settings(database_url))
    yield engine
    await engine.dispose()


@pytest.fixture
def stored(database: AsyncEngine) -> StoredExchanges:
    return StoredExchanges(ExchangeRepository(database, page_bytes=2**20), CHAT)


def a_stored(**changes: Any) -> Exchange:
    return an_exchange(**{"stored": True} | changes)


async def write(writer: ExchangeWriter, *exchanges: Exchange) -> None:
    for durable in [writer.commit(exchange) for exchange in exchanges]:
        await durable


async def listed(stored: StoredExchanges, **asked: Any) -> Page:
    everything: dict[str, Any] = {"model": None, "metadata": {}, "limit": 100, "after": None}
    return await stored.page("local", **everything | {"ascending": True} | asked)


def ids(page: Page) -> list[UUID]:
    return [exchange.id for exchange in page.exchanges]


async def test_only_what_its_caller_asked_to_be_stored_is_there(
    writer: ExchangeWriter, stored: StoredExchanges
) -> None:
    """Not another's, not what was not to be stored, not what broke, not that of other endpoints."""
    mine = a_stored()
    hidden = [
        a_stored(caller="them"),
        an_exchange(),
        a_stored(outcome=Outcome.FAILED, answer=None),
        a_stored(outcome=Outcome.CLIENT_GONE),
        a_stored(endpoint="/v1/completions"),
    ]
    await write(writer, mine, *hidden)
    assert ids(await listed(stored)) == [mine.id]
    assert await stored.get("local", mine.id) == mine
    for exchange in (*hidden, an_exchange()):
        for ask in (stored.get, stored.branch):
            with pytest.raises(ExchangeNotFound):
                await ask("local", exchange.id)
        with pytest.raises(ExchangeNotFound):
            await stored.set_metadata("local", exchange.id, {"a": "b"})
    assert (await stored.get("them", hidden[0].id)).metadata == b"{}"


async def test_pages_in_both_orders(writer: ExchangeWriter, stored: StoredExchanges) -> None:
    exchanges = [a_stored() for _ in range(5)]
    await write(writer, *exchanges)
    expected = [exchange.id for exchange in exchanges]
    for ascending in (True, False):
        read: list[UUID] = []
        sizes = []
        more = True
        while more:
            page = await listed(stored, limit=2, after=read[-1] if read else None, ascending=ascending)
            read += ids(page)
            sizes.append(len(page.exchanges))
            more = page.has_more
        assert read == (expected if ascending else expected[::-1])
        assert sizes == [2, 2, 1]


async def test_going_on_from_what_is_not_the_callers_is_refused(
    writer: ExchangeWriter, stored: StoredExchanges
) -> None:
    theirs = a_stored(caller="them")
    await write(writer, a_stored(), theirs)
    for after in (theirs.id, uuid7()):
        with pytest.raises(ExchangeNotFound) as caught:
            await listed(stored, after=after)
        assert caught.value.param == "after"


async def test_filters_keep_what_has_all_that_is_named(
    writer: ExchangeWriter, stored: StoredExchanges
) -> None:
    """Exactly: no prefix, no other case, no pair of another key; odd texts are texts."""
    both = a_stored(metadata=b'{"a": "1", "b": "\\u0000%"}', model="one")
    one = a_stored(metadata=b'{"a": "1"}')
    other = a_stored(metadata=b'{"a": "11", "1": "a", "A": "1"}')
    theirs = a_stored(metadata=b'{"a": "1"}', caller="them")
    await write(writer, both, one, other, theirs)
    assert ids(await listed(stored, metadata={"a": "1"})) == [both.id, one.id]
    assert ids(await listed(stored, metadata={"a": "1"}, ascending=False)) == [one.id, both.id]
    assert ids(await listed(stored, metadata={"a": "1"}, limit=1, after=both.id)) == [one.id]
    assert ids(await listed(stored, metadata={"a": "1", "b": "\0%"})) == [both.id]
    assert ids(await listed(stored, metadata={"a": "2"})) == []
    assert ids(await listed(stored, model="one")) == [both.id]
    assert ids(await listed(stored, model="one", metadata={"A": "1"})) == []


async def test_metadata_is_replaced(writer: ExchangeWriter, stored: StoredExchanges) -> None:
    """And found by what it is now, not by what it was."""
    exchange = a_stored(metadata=b'{"a": "1", "b": "2"}')
    await write(writer, exchange)
    changed = await stored.set_metadata("local", exchange.id, {"c": "3"})
    assert (changed.id, changed.input, changed.metadata) == (exchange.id, exchange.input, b'{"c":"3"}')
    assert await stored.get("local", exchange.id) == changed
    assert ids(await listed(stored, metadata={"c": "3"})) == [exchange.id]
    assert ids(await listed(stored, metadata={"a": "1"})) == []
    cleared = await stored.set_metadata("local", exchange.id, {})
    assert cleared.metadata == b"{}"
    assert ids(await listed(stored, metadata={"c": "3"})) == []
    assert ids(await listed(stored)) == [exchange.id]


async def test_a_branch_is_that_of_the_request_and_no_sibling(
    writer: ExchangeWriter, stored: StoredExchanges
) -> None:
    """From an answer on which two went on, each sees its own; also from a partial one, and from ones not stored."""
    first = an_exchange(outcome=Outcome.CLIENT_GONE)
    one = a_stored(conversation_id=first.id, parent_id=first.id)
    two = a_stored(conversation_id=first.id, parent_id=first.id)
    await write(writer, first, one, two)
    for exchange in (one, two):
        assert [step.id for step in await stored.branch("local", exchange.id)] == [first.id, exchange.id]


async def test_what_waits_in_the_spool_is_found_and_not_changed(
    database: AsyncEngine, writer: ExchangeWriter, tmp_path: Any
) -> None:
    """Also where the exchange that it goes on from is the first of a conversation that has gone on since."""
    first, waiting = a_stored(), a_stored()
    child = a_stored(conversation_id=first.id, parent_id=first.id)
    sibling = an_exchange(conversation_id=first.id, parent_id=first.id)
    await write(writer, first, sibling)
    spool = Spool(log_settings("postgresql://nobody@/nothing", spool_dir=tmp_path))
    records = [Record(one.id, one.conversation_id, encode(one)) for one in (waiting, child)]
    await spool.keep(records)
    log = ExchangeRepository(database, 2**20, spool)
    stored = StoredExchanges(log, CHAT)
    assert await stored.get("local", waiting.id) == waiting
    assert [one.id for one in await stored.branch("local", child.id)] == [first.id, child.id]
    told = await log.conversation("local", child.id)
    assert [one.id for one in told.exchanges] == [first.id, child.id]
    with pytest.raises(LogUnavailable):
        await stored.set_metadata("local", waiting.id, {"a": "b"})
    await spool.close()


BY_CALLER, BY_METADATA = "ix_exchanges_caller_id_stored", "ix_exchanges_metadata_pairs"
PLANS: list[tuple[dict[str, Any], str]] = [
    ({"limit": 20}, BY_CALLER),
    ({"limit": 100, "ascending": False}, BY_CALLER),
    ({"limit": 20, "model": "seldom"}, BY_CALLER),
    ({"limit": 20, "metadata": {"ticket": "17"}}, BY_METADATA),
    ({"limit": 20, "metadata": {"ticket": "none"}}, BY_METADATA),
    ({"limit": 20, "metadata": {"all": "same"}}, BY_CALLER),
    ({"limit": 20, "metadata": {"all": "same", "ticket": "17"}}, BY_METADATA),
]


async def test_no_statement_reads_the_table(
    database_url: str, database: AsyncEngine, stored: StoredExchanges
) -> None:
    """Each is answered by an index, in a table that is not small: the plan is that of the very statement sent."""
    await fill(database_url)
    sent: list[tuple[str, tuple[object, ...]]] = []

    @event.listens_for(database.sync_engine, "before_cursor_execute")
    def note(*call: Any) -> None:
        sent.append(call[2:4])

    for asked, index in PLANS:
        await listed(stored, **asked)
        plan = await explained(database_url, *sent[-1])
        assert index in plan, (asked, plan)
        assert await scanned_whole(database_url, plan) == set(), (asked, plan)
    sent.clear()
    (some,) = (await listed(stored, limit=1)).exchanges
    await listed(stored, limit=1, after=some.id)
    await stored.branch("local", some.id)
    await stored.set_metadata("local", some.id, {"a": "b"})
    assert len(sent) == 5
    for statement in sent:
        plan = await explained(database_url, *statement)
        assert await scanned_whole(database_url, plan) == set(), plan


async def fill(url: str) -> None:
    """25 000 exchanges of several callers, of which 4000 are stored ones of the local caller."""
    kept = [
        a_stored(metadata=b'{"all": "same", "ticket": "%d"}' % place, answer=b'["%s"]' % (b"x" * 300))
        for place in range(4000)
    ]
    connection = await asyncpg.connect(url)
    try:
        await connection.executemany(insert_statement(), map(row, kept))
        await connection.execute(
            """INSERT INTO exchanges (id, conversation_id, started_at, total_ms, caller, door, endpoint, model, outcome,
                   metadata, parameters, input, stored, metadata_pairs)
               SELECT u, u, now(), 1, 'caller ' || n % 10, 'openai', $1, 'm', 'completed', '{}', '{}',
                   to_json(repeat('x', 300)), n % 2 = 0, CASE WHEN n % 2 = 0 THEN ARRAY[gen_random_uuid()] END
               FROM (SELECT n, uuidv7(make_interval(hours => n % 3 - 1)) AS u FROM generate_series(1, 21000) n) AS made""",
            CHAT,
        )
        await connection.execute("ANALYZE exchanges")
    finally:
        await connection.close()


async def explained(url: str, statement: str, values: tuple[object, ...]) -> str:
    return "\n".join(line[0] for line in await fetch(url, f"EXPLAIN {statement}", *values))
