"""The log in partitions: made ahead, dropped when old, and never in the way of an exchange."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from adapters.conversations import partitions
from adapters.conversations.partitions import (
    FIRST,
    LAST,
    existing,
    expired,
    first_id,
    make_ahead,
)
from adapters.conversations.repository import ExchangeRepository, Filters, insert_statement, row
from adapters.conversations.upkeep import LogUpkeep, drop_expired
from adapters.conversations.writer import ExchangeWriter
from adapters.database.session import create_engine
from tests.beside import BESIDE, add_beside
from tests.databases import fetch, log_settings
from tests.integration.log.months import NOW, month, name
from tests.integration.log.plans import explain, explain_for_any, scanned_whole, watched
from tests.records import an_exchange

_WHERE = "SELECT tableoid::regclass::text FROM exchanges WHERE id = $1"


async def test_months_are_made_ahead(database_url: str) -> None:
    """Without a gap, two beyond this one; and what is there is not made again."""
    connection = await asyncpg.connect(database_url)
    assert await make_ahead(connection, NOW) == [name(1), name(2)]
    assert await make_ahead(connection, NOW) == []
    assert await make_ahead(connection, month(1)) == [name(3)]
    found = await existing(connection)
    assert [part.name for part in found] == [FIRST, name(1), name(2), name(3), LAST]
    assert [part.begins for part in found] == [None, *(first_id(month(after)) for after in range(1, 5))]
    assert [part.ends for part in found[:-1]] == [part.begins for part in found[1:]]
    assert found[-1].ends is None
    await connection.close()


async def test_no_exchange_is_refused_for_want_of_a_partition(
    writer: ExchangeWriter, database_url: str
) -> None:
    """However far its time is from ours, and without anybody looking after the log."""
    ids = [
        UUID(int=0),
        first_id(month(-500)),
        uuid7(),
        first_id(month(1)),
        first_id(month(90)),
        UUID(int=2**128 - 1),
    ]
    for id in ids:
        await writer.commit(an_exchange(id=id))
    found = {id: (await fetch(database_url, _WHERE, id))[0][0] for id in ids}
    assert list(found.values()) == [FIRST] * 3 + [LAST] * 3


async def test_what_came_too_early_moves_to_its_month(writer: ExchangeWriter, database_url: str) -> None:
    """Also into several at once; what is still further away stays, and writing it again changes nothing."""
    moments = (month(1), month(2) + timedelta(days=3), month(7))
    early = [an_exchange(id=first_id(moment)) for moment in moments]
    for exchange in early:
        await writer.commit(exchange)
    connection = await asyncpg.connect(database_url)
    await make_ahead(connection, NOW)
    await connection.close()
    for exchange in early:
        await writer.commit(exchange)
    found = [(await fetch(database_url, _WHERE, exchange.id)) for exchange in early]
    assert [[row[0] for row in rows] for rows in found] == [[name(1)], [name(2)], [LAST]]


async def test_gateways_that_make_months_together_do_it_once(database_url: str) -> None:
    """All come to the same end without an error, while exchanges are written."""
    connections = [await asyncpg.connect(database_url) for _ in range(5)]
    writer = ExchangeWriter(log_settings(database_url))
    await writer.start()
    written = [writer.commit(an_exchange()) for _ in range(50)]
    made = await asyncio.gather(*(make_ahead(connection, NOW) for connection in connections))
    await asyncio.gather(*written)
    await writer.close()
    assert sorted(filter(None, made)) == [[name(1), name(2)]]
    for connection in connections:
        await connection.close()


async def test_a_log_in_use_is_not_held_up(writer: ExchangeWriter, database_url: str) -> None:
    """Where somebody reads for long, the months wait for another time, and writing goes on after half a second."""
    reader, connection = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    await reader.execute("BEGIN; SELECT FROM exchanges")
    with pytest.raises(asyncpg.LockNotAvailableError):
        await make_ahead(connection, NOW)
    await asyncio.wait_for(writer.commit(an_exchange()), 2)
    await reader.execute("ROLLBACK")
    assert await make_ahead(connection, NOW) == [name(1), name(2)]
    await reader.close()
    await connection.close()


async def test_only_what_is_wholly_old_is_dropped(writer: ExchangeWriter, database_url: str) -> None:
    """A month goes when its last moment is old; what is told before is what goes then."""
    connection = await asyncpg.connect(database_url)
    await make_ahead(connection, NOW)
    moments = (month(0), month(1), month(2), month(3))
    for moment in moments:
        await writer.commit(an_exchange(id=first_id(moment)))
    assert await expired(connection, month(1) - timedelta(seconds=1)) == []
    before = month(3) - timedelta(seconds=1)
    told = [part.name for part in await expired(connection, before)]
    assert told == [part.name for part in await drop_expired(connection, before)] == [FIRST, name(1)]
    kept = await connection.fetch("SELECT id FROM exchanges ORDER BY id")
    assert [row["id"] for row in kept] == [first_id(month(2)), first_id(month(3))]
    found = await existing(connection)
    assert [part.name for part in found] == [FIRST, name(2), LAST]
    assert found[0].ends == first_id(month(2))
    assert await expired(connection, before) == []
    await connection.close()


async def test_what_stands_beside_dropped_exchanges_goes_after_them(
    writer: ExchangeWriter, database_url: str
) -> None:
    """In every table, also where there is more than goes at once, and also where the gateway was killed after the drop;
    what is kept keeps it, and so does a conversation in which something is left."""
    connection = await asyncpg.connect(database_url)
    await make_ahead(connection, NOW)
    for exchange in (an_exchange(id=first_id(month(0))), an_exchange(id=first_id(month(2)))):
        await writer.commit(exchange)
        await add_beside(database_url, exchange)
    await fetch(
        database_url,
        """INSERT INTO feedback (exchange_id, caller, given_at, rating)
           SELECT $1, 'caller ' || n, now(), 1 FROM generate_series(1, 2500) n""",
        first_id(month(1)),
    )
    lasting = first_id(month(1))
    await fetch(
        database_url,
        "INSERT INTO conversations (id, created_at, caller, metadata) VALUES ($1, now(), 'c', '{}')",
        lasting,
    )
    await fetch(database_url, "INSERT INTO conversation_titles VALUES ($1, 'c', 'Lasting')", lasting)
    await writer.commit(an_exchange(id=first_id(month(3)), conversation_id=lasting))
    await partitions.drop_expired(connection, month(2))
    assert await connection.fetchval("SELECT count(*) FROM feedback") == 2502

    await drop_expired(connection, month(2))
    for table, rest in BESIDE.items():
        column = rest.split(",")[0] if table != "idempotent_answers" else "exchange_id"
        expected = [
            first_id(month(2)),
            *([lasting] if table.startswith("conversation") and table != "conversation_items" else []),
        ]
        left = await connection.fetch(f"SELECT {column} FROM {table}")
        assert sorted(row[0] for row in left) == sorted(expected), table
    await connection.close()


async def test_what_arrives_after_its_month_has_gone_is_kept_till_the_next_time(
    writer: ExchangeWriter, database_url: str
) -> None:
    """An exchange that waited long in a spool is written like any other, and goes like any other."""
    connection = await asyncpg.connect(database_url)
    await make_ahead(connection, NOW)
    await drop_expired(connection, month(2))
    late = an_exchange(id=first_id(month(0)))
    await writer.commit(late)
    assert (await fetch(database_url, _WHERE, late.id))[0][0] == FIRST
    assert [part.name for part in await drop_expired(connection, month(2))] == [FIRST]
    assert await fetch(database_url, _WHERE, late.id) == []
    await connection.close()


async def test_a_gateway_looks_after_its_log(database_url: str, writer: ExchangeWriter) -> None:
    """By itself: months are made, and what is too old is dropped; without the setting everything is kept."""
    await writer.commit(an_exchange(id=first_id(month(-30))))
    connection = await asyncpg.connect(database_url)
    await make_ahead(connection, month(-1))
    # What is older than this month is in a partition of its own, as where months have gone by.
    await fetch(database_url, "ALTER TABLE exchanges DETACH PARTITION exchanges_first")
    bound = first_id(month(-1))
    await fetch(
        database_url,
        f"ALTER TABLE exchanges ATTACH PARTITION {FIRST} FOR VALUES FROM (MINVALUE) TO ('{bound}')",
    )
    between = f"FROM ('{bound}') TO ('{first_id(month(1))}')"
    await fetch(database_url, f"CREATE TABLE exchanges_between PARTITION OF exchanges FOR VALUES {between}")
    for days, left in ((None, 1), (1, 0)):
        upkeep = LogUpkeep(log_settings(database_url, log_retention_days=days))
        upkeep.start()
        async with asyncio.timeout(10):
            while await connection.fetchval("SELECT count(*) FROM exchanges") > left:
                await asyncio.sleep(0.02)
            while name(2) not in [part.name for part in await existing(connection)]:
                await asyncio.sleep(0.02)
        await upkeep.close()
        assert await connection.fetchval("SELECT count(*) FROM exchanges") == left
    await connection.close()


@pytest.mark.parametrize("explained", [explain, explain_for_any])
async def test_reading_uses_indexes_and_the_order_of_the_partitions(
    full_url: str, explained: Callable[..., Awaitable[str]]
) -> None:
    """The newest page is an ordered walk from the newest partition on, and nothing is sorted or read whole."""
    engine = create_engine(log_settings(full_url))
    repository = ExchangeRepository(engine, page_bytes=2**20)
    async with watched(engine) as statements:
        page = await repository.page("caller 7", filters=Filters(), limit=20)
        await repository.page("caller 7", filters=Filters(), limit=20, after=page.exchanges[-1].id)
        conversation = page.exchanges[0].conversation_id
        mine = await repository.page("caller 7", filters=Filters(conversation_id=conversation), limit=20)
        branch = await repository.conversation("caller 7", conversation)
    await engine.dispose()
    assert len(page.exchanges) == 20
    assert len(mine.exchanges) == len(branch.exchanges) > 0
    plans = [await explained(full_url, statement, *values) for statement, values in statements.seen]
    for plan in plans:
        assert await scanned_whole(full_url, plan) == set(), plan
    newest, found, older, of_conversation, _ = plans
    assert "Merge Append" not in of_conversation, of_conversation
    for plan in (newest, older):
        assert "Append" in plan, plan
        assert "Merge Append" not in plan, plan
        assert plan.index(name(3)) < plan.index(name(2)), plan
    if explained is explain:
        assert name(2) not in found, "an id says in which partition it is"
        assert name(0) not in of_conversation, "a conversation is not older than its id"


async def test_writing_finds_the_parent_newest_first(full_url: str) -> None:
    """The search for a transcript walks the partitions in their order and ends where it finds it."""
    newest = (
        "SELECT caller, transcript_hash FROM exchanges WHERE caller = 'caller 7' ORDER BY id DESC LIMIT 1"
    )
    (known,) = await fetch(full_url, newest)
    exchange = an_exchange(caller=known["caller"], follows=known["transcript_hash"])
    for plan in (
        await explain_for_any(full_url, insert_statement(), *row(exchange)),
        ran := await explain(full_url, insert_statement(), *row(exchange), options="ANALYZE"),
    ):
        assert await scanned_whole(full_url, plan) == set(), plan
        assert "Sort" not in plan, plan
        assert "Merge Append" not in plan, plan
    lines = [line for line in ran.splitlines() if "_caller_transcript_hash_id_idx" in line]
    searched = [line for line in lines if "never executed" not in line]
    assert [after in line for line, after in zip(searched, (LAST, name(4), name(3)), strict=True)] == [
        True
    ] * 3
    assert len(lines) == len(searched) + 5
