"""The writer against a real PostgreSQL that is well."""

import asyncio
import gc
from typing import Any

import pytest
from structlog.testing import capture_logs

from adapters.conversations.errors import ExchangeRefused, LogUnavailable
from adapters.conversations.repository import ExchangeRepository
from adapters.conversations.writer import ExchangeWriter
from tests.databases import fetch, log_settings
from tests.records import an_exchange

SECRET = "what nobody else may read"


async def test_an_exchange_is_there_as_soon_as_its_owner_is_told(
    writer: ExchangeWriter, database_url: str
) -> None:
    """When the future is done, another connection sees the row."""
    exchange = an_exchange()
    await writer.commit(exchange)
    found = await fetch(database_url, "SELECT id FROM exchanges")
    assert [row["id"] for row in found] == [exchange.id]
    assert (writer.status().committed, writer.status().refused, writer.status().waiting) == (1, 0, 0)


async def test_exchanges_that_end_together_share_commits(writer: ExchangeWriter, database_url: str) -> None:
    """Two hundred owners, each waiting for its own exchange, cause a handful of transactions."""
    await asyncio.gather(*(_committed(writer) for _ in range(200)))
    found = await fetch(
        database_url, "SELECT count(*), count(DISTINCT xmin::text) AS transactions FROM exchanges"
    )
    assert found[0]["count"] == 200
    assert found[0]["transactions"] <= 5


async def test_a_batch_has_a_limit(database_url: str) -> None:
    """No commit holds more exchanges than the setting says."""
    writer = ExchangeWriter(log_settings(database_url, log_batch_limit=10))
    await writer.start()
    await asyncio.gather(*(_committed(writer) for _ in range(95)))
    await writer.close()
    found = await fetch(database_url, "SELECT count(*) FROM exchanges GROUP BY xmin::text")
    assert sum(row["count"] for row in found) == 95
    assert max(row["count"] for row in found) == 10


@pytest.mark.parametrize(
    "poison",
    [
        {"input": b'{"cut off": '},
        {"answer": b'"\x01 raw control character"'},
        {"model": "a NUL \x00 in a name"},
        {"model": "half a \ud83d surrogate"},
        {"prompt_tokens": 2**31},
        {"outcome": "splendid"},
    ],
    ids=lambda poison: next(iter(poison)),
)
async def test_an_exchange_that_cannot_be_stored_fails_alone(
    writer: ExchangeWriter, database_url: str, poison: dict[str, Any]
) -> None:
    """Its neighbours in the batch are stored, and nothing of its content gets into the log lines."""
    bad = an_exchange(**{"metadata": b'{"note": "%s"}' % SECRET.encode()} | poison)
    good = [an_exchange() for _ in range(20)]
    with capture_logs() as lines:
        results = await asyncio.gather(
            *(writer.commit(exchange) for exchange in (*good[:7], bad, *good[7:])), return_exceptions=True
        )
    assert [type(result) for result in results] == [type(None)] * 7 + [ExchangeRefused] + [type(None)] * 13
    found = await fetch(database_url, "SELECT id FROM exchanges ORDER BY id")
    assert [row["id"] for row in found] == [exchange.id for exchange in good]
    assert [line["request_id"] for line in lines if line["event_key"] == "exchange_refused"] == [bad.id.hex]
    assert SECRET not in repr(lines)
    assert (writer.status().committed, writer.status().refused) == (20, 1)
    writer.require_ready()


async def test_text_that_is_not_utf8_is_refused_at_once(writer: ExchangeWriter) -> None:
    """Such an exchange never enters the queue."""
    with pytest.raises(ExchangeRefused):
        writer.commit(an_exchange(input=b'"\xed\xa0\x80"'))
    assert writer.status().waiting == 0


@pytest.mark.parametrize(
    "text",
    [
        rb'["a NUL: \u0000, half a surrogate: \ud83d, both halves the wrong way: \ude00\ud83d"]',
        b'{"same": 1, "same": 2, "spaces" :  [ ] , "big": 1E400, "long": 0.1000000000000000055511151231257827}',
        '["Zürich, 東京, 👩‍👩‍👧, \u2028, \x7f, \ufeff"]'.encode(),
        b'"</s><|assistant|>"',
    ],
)
async def test_texts_are_kept_as_they_were_written(
    writer: ExchangeWriter, repository: ExchangeRepository, text: bytes
) -> None:
    """Every JSON text comes back byte for byte, in every column that holds one."""
    exchange = an_exchange(input=text, answer=text, parameters=text, error=text, metadata=text)
    await writer.commit(exchange)
    assert await repository.get("local", exchange.id) == exchange


async def test_a_long_text_is_kept_whole(writer: ExchangeWriter, repository: ExchangeRepository) -> None:
    """Four mebibytes that do not compress well come back as they were."""
    text = b'["%s"]' % b"".join(b"%d," % (number * 7919 % 1000003) for number in range(700_000))
    exchange = an_exchange(input=text)
    await writer.commit(exchange)
    assert (await repository.get("local", exchange.id)).input == text


async def test_the_same_exchange_twice_is_one(writer: ExchangeWriter, database_url: str) -> None:
    """Writing again what is there already succeeds and changes nothing."""
    exchange = an_exchange()
    await writer.commit(exchange)
    await writer.commit(an_exchange(id=exchange.id, model="another"))
    found = await fetch(database_url, "SELECT model FROM exchanges")
    assert [row["model"] for row in found] == ["a-model"]


async def test_an_owner_that_stops_waiting_does_not_stop_the_writing(
    writer: ExchangeWriter, database_url: str
) -> None:
    """The exchange of a cancelled owner is stored, with those of its neighbours."""
    waiting = asyncio.create_task(_committed(writer))
    await asyncio.sleep(0)
    neighbour = writer.commit(an_exchange())
    waiting.cancel()
    await neighbour
    assert await writer.drain(5)
    found = await fetch(database_url, "SELECT count(*) FROM exchanges")
    assert found[0]["count"] == 2


async def test_draining_loses_nothing(database_url: str) -> None:
    """What was committed before the drain is durable after it, whoever waits for it."""
    writer = ExchangeWriter(log_settings(database_url, log_batch_limit=16))
    await writer.start()
    for _ in range(300):
        writer.commit(an_exchange())
    assert await writer.drain(10)
    await writer.close()
    found = await fetch(database_url, "SELECT count(*) FROM exchanges")
    assert (found[0]["count"], writer.status().committed, writer.status().waiting) == (300, 300, 0)


async def test_a_full_queue_refuses_new_work_and_keeps_what_is_under_way(
    database_url: str,
) -> None:
    """`require_ready` raises at the limit; exchanges that were generated already are taken beyond it."""
    writer = ExchangeWriter(log_settings(database_url, log_queue_limit=5))
    await writer.start()
    durable = [writer.commit(an_exchange()) for _ in range(4)]
    writer.require_ready()
    durable += [writer.commit(an_exchange()) for _ in range(3)]
    with pytest.raises(LogUnavailable):
        writer.require_ready()
    await asyncio.gather(*durable)
    writer.require_ready()
    assert writer.status().committed == 7
    await writer.close()


async def test_closing_fails_what_is_left_and_whatever_comes_later(database_url: str) -> None:
    """A closed writer says so, also when it is closed again."""
    writer = ExchangeWriter(log_settings(database_url))
    await writer.start()
    left = writer.commit(an_exchange())
    await writer.close()
    await writer.close()
    with pytest.raises(LogUnavailable):
        await left
    with pytest.raises(LogUnavailable):
        writer.commit(an_exchange())
    with pytest.raises(LogUnavailable):
        writer.require_ready()


async def test_a_writer_that_has_died_is_noticed(database_url: str) -> None:
    """Its death is logged, what was waiting fails, and nothing more is taken."""
    writer = ExchangeWriter(log_settings(database_url))
    await writer.start()
    durable = writer.commit(an_exchange())
    (task,) = (task for task in asyncio.all_tasks() if task.get_name() == "exchange writer")
    with capture_logs() as lines:
        task.cancel()
        with pytest.raises(LogUnavailable):
            await durable
    assert [line["event_key"] for line in lines] == ["exchange_writer_died"]
    assert not writer.alive
    with pytest.raises(LogUnavailable):
        writer.require_ready()
    await writer.close()


async def test_a_failure_that_nobody_looks_at_makes_no_noise(database_url: str) -> None:
    """asyncio does not complain of an exception that was never retrieved, since the writer has logged it."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
    writer = ExchangeWriter(log_settings(database_url))
    await writer.start()
    writer.commit(an_exchange(input=b"{"))
    assert await writer.drain(5)
    gc.collect()
    await writer.close()
    assert complaints == []


async def _committed(writer: ExchangeWriter) -> None:
    await writer.commit(an_exchange())
