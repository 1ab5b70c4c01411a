"""The writer with a spool: owners notice nothing of a database that is away, and everything is in it in the end, once."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from adapters.conversations.entries import encode
from adapters.conversations.errors import ExchangeRefused, LogUnavailable
from adapters.conversations.exchange import Exchange
from adapters.conversations.repository import ExchangeRepository
from adapters.conversations.spool import Spool
from adapters.conversations.spool_file import Record
from adapters.conversations.status import LogStatus
from adapters.conversations.writer import ExchangeWriter
from adapters.database.session import create_engine
from tests.databases import NO_SPOOL, PostgresServer, fetch, log_settings
from tests.records import an_exchange

AWAY = "postgresql://nobody@/nothing?host=/proc"


@asynccontextmanager
async def writing(url: str, folder: Path, **settings: Any) -> AsyncIterator[ExchangeWriter]:
    writer = ExchangeWriter(log_settings(url, spool_dir=folder, **settings))
    await writer.start()
    try:
        yield writer
    finally:
        await writer.close()


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> float:
    """Seconds until it holds."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds
        await asyncio.sleep(0.02)
    return time.monotonic() - began


async def commit(writer: ExchangeWriter, count: int = 1, **changes: Any) -> list[Exchange]:
    exchanges = [an_exchange(**changes) for _ in range(count)]
    await asyncio.gather(*(writer.commit(exchange) for exchange in exchanges))
    return exchanges


def adds_up(status: LogStatus) -> bool:
    parts = status.committed + status.spooled + status.refused + status.lost + status.waiting
    return status.accepted == parts


async def ids(url: str) -> list[object]:
    return [row["id"] for row in await fetch(url, "SELECT id FROM exchanges ORDER BY id")]


async def test_a_frozen_database_holds_nobody_up(own_postgres: PostgresServer, tmp_path: Path) -> None:
    """The first ones wait for as long as the setting says, the others not at all; then everything is shipped."""
    async with writing(own_postgres.url, tmp_path, log_patience=0.5) as writer:
        own_postgres.freeze()
        try:
            began = time.monotonic()
            first = await commit(writer, 3)
            assert 0.4 < time.monotonic() - began < 1.5
            began = time.monotonic()
            second = await commit(writer, 3)
            assert time.monotonic() - began < 0.4
            writer.require_ready()
            assert (writer.status().spooled, writer.status().committed) == (6, 0)
            assert writer.status().oldest_unshipped is not None
        finally:
            own_postgres.thaw()
        await until(lambda: writer.status().committed == 6)
        assert writer.status().spooled == writer.spool.count == 0
        assert adds_up(writer.status())
    expected = [exchange.id for exchange in (*first, *second)]
    found = await fetch(own_postgres.url, "SELECT id FROM exchanges WHERE id = ANY($1)", expected)
    assert sorted(row["id"] for row in found) == expected


async def test_looking_at_a_frozen_database_holds_nobody_up_either(
    own_postgres: PostgresServer, tmp_path: Path
) -> None:
    """A look that is under way when something is to be written ends as soon as a writing would."""
    async with writing(own_postgres.url, tmp_path, log_patience=0.5) as writer:
        own_postgres.freeze()
        try:
            await until(lambda: writer.link._asked_at is not None)
            began = time.monotonic()
            await commit(writer)
            assert time.monotonic() - began < 1.5
        finally:
            own_postgres.thaw()


async def test_a_killed_database_costs_nothing(own_postgres: PostgresServer, tmp_path: Path) -> None:
    """Exchanges that ended while it was dead are in it within seconds of its return, each once and in order."""
    async with writing(own_postgres.url, tmp_path) as writer:
        own_postgres.kill()
        exchanges = [one for _ in range(20) for one in await commit(writer)]
        own_postgres.start()
        assert await until(lambda: writer.status().spooled == 0) < 10
    query = "SELECT id FROM exchanges WHERE id = ANY($1) ORDER BY xmin::text::bigint, ctid"
    found = await fetch(own_postgres.url, query, [exchange.id for exchange in exchanges])
    assert [row["id"] for row in found] == [exchange.id for exchange in exchanges]


async def test_what_a_killed_process_left_is_shipped_by_the_next(database_url: str, tmp_path: Path) -> None:
    """And by another one that runs beside it, if it has a file of its own already."""
    left = []
    for _ in range(2):
        async with writing(AWAY, tmp_path) as writer:
            left += await commit(writer, 2)
    async with writing(AWAY, tmp_path) as other, writing(database_url, tmp_path) as writer:
        assert other.status().accepted == other.status().spooled == 4
        await commit(writer)
        await other.close()
        await writer._adopt()
        await until(lambda: writer.status().committed == 5)
        assert writer.status().accepted == 5
    assert {exchange.id for exchange in left} <= set(await ids(database_url))


async def test_shipping_again_changes_nothing(database_url: str, tmp_path: Path) -> None:
    """A process that ended between the commit and the spool's forgetting ships once more what is there."""
    exchange = an_exchange()
    async with writing(database_url, tmp_path / "a") as writer:
        await writer.commit(exchange)
    spool = Spool(log_settings(AWAY, spool_dir=tmp_path / "b"))
    await spool.keep([Record(exchange.id, exchange.conversation_id, encode(exchange))])
    await spool.close()
    async with writing(database_url, tmp_path / "b") as writer:
        await until(lambda: writer.status().spooled == 0)
    assert await ids(database_url) == [exchange.id]


async def test_a_spooled_exchange_that_is_refused_holds_up_no_other(
    database_url: str, tmp_path: Path
) -> None:
    """It is set aside, counted and told; its neighbours are shipped."""
    async with writing(AWAY, tmp_path) as writer:
        good = await commit(writer, 3)
        bad = await commit(writer, input=b"{")
        good += await commit(writer, 3)
    with capture_logs() as lines:
        async with writing(database_url, tmp_path) as writer:
            await until(lambda: writer.status().spooled == 0)
            status, aside = writer.status(), writer.spool.refused
    assert (status.committed, status.refused, aside) == (6, 1, 1)
    assert adds_up(status)
    assert await ids(database_url) == [exchange.id for exchange in good]
    told = [line["request_id"] for line in lines if line["event_key"] == "spooled_exchange_refused"]
    assert told == [bad[0].id.hex]


async def test_a_text_that_is_not_text_is_refused_at_once(tmp_path: Path) -> None:
    async with writing(AWAY, tmp_path) as writer:
        with pytest.raises(ExchangeRefused):
            writer.commit(an_exchange(input=b'"\xed\xa0\x80"'))
        assert (writer.status().accepted, writer.status().refused) == (1, 1)


async def test_nothing_is_generated_where_neither_can_take_it() -> None:
    """Strict: refused before, and told afterwards."""
    async with writing(AWAY, NO_SPOOL, log_commit_deadline=0.5) as writer:
        with pytest.raises(LogUnavailable):
            writer.require_ready()
        with pytest.raises(LogUnavailable):
            await writer.commit(an_exchange())
        assert (writer.status().accepted, writer.status().refused, writer.status().lost) == (1, 1, 0)


async def test_best_effort_goes_on_and_counts_what_it_loses() -> None:
    async with writing(
        AWAY, NO_SPOOL, log_commit_deadline=0.3, log_mode="best_effort", log_queue_limit=2
    ) as writer:
        writer.require_ready()
        await commit(writer, 5)
        assert (writer.status().accepted, writer.status().lost, writer.status().refused) == (5, 5, 0)
        assert adds_up(writer.status())


async def test_a_spool_that_is_well_again_takes_what_waits(tmp_path: Path) -> None:
    """A full disk that gets room before the deadline: the owners are told well."""
    folder = tmp_path / "spool"
    folder.write_text("in the way")
    async with writing(AWAY, folder, log_commit_deadline=8) as writer:
        durable = writer.commit(an_exchange())
        await asyncio.sleep(0.5)
        assert not durable.done()
        folder.unlink()
        await durable
        assert writer.status().spooled == 1
        writer.require_ready()


async def test_everything_is_accounted_for_at_any_moment(
    own_postgres: PostgresServer, tmp_path: Path
) -> None:
    """Under load, with a database that comes and goes: the sum holds whenever one looks."""
    async with writing(own_postgres.url, tmp_path, log_patience=0.2, log_batch_limit=7) as writer:
        wrong: list[LogStatus] = []

        async def look() -> None:
            while True:
                if not adds_up(writer.status()):
                    wrong.append(writer.status())
                await asyncio.sleep(0)

        looking = asyncio.create_task(look())
        for _ in range(3):
            await commit(writer, 50)
            own_postgres.freeze()
            await commit(writer, 50)
            own_postgres.thaw()
            await until(lambda: writer.link.up)
        await until(lambda: writer.status().spooled == 0)
        looking.cancel()
        assert wrong == []
        assert writer.status().committed == 300


async def test_what_waits_in_the_spool_is_read_as_if_it_were_in_the_database(
    database_url: str, tmp_path: Path
) -> None:
    """One exchange, and the conversation that it goes on with: also where the older part is in the database."""
    engine = create_engine(log_settings(database_url))
    async with writing(database_url, tmp_path / "first") as writer:
        (first,) = await commit(writer)
    async with writing(AWAY, tmp_path / "second") as writer:
        follow: dict[str, Any] = {"conversation_id": first.id}
        (second,) = await commit(writer, **follow, parent_id=first.id)
        (third,) = await commit(writer, **follow, parent_id=second.id)
        (alone,) = await commit(writer)
        repository = ExchangeRepository(engine, 2**20, writer.spool)
        assert await repository.get("local", third.id) == third
        for of in (first.id, third.id):
            found = await repository.conversation("local", of)
            assert [one.id for one in found.exchanges] == [first.id, second.id, third.id]
        nowhere = create_engine(log_settings(AWAY))
        cut_off = ExchangeRepository(nowhere, 2**20, writer.spool)
        assert [one.id for one in (await cut_off.conversation("local", alone.id)).exchanges] == [alone.id]
        with pytest.raises(LogUnavailable):
            await cut_off.conversation("local", third.id)
        with pytest.raises(LogUnavailable):
            await cut_off.get("another", third.id)
        await nowhere.dispose()
    await engine.dispose()
