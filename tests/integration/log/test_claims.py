"""Claims on idempotency keys, and the answers that are kept under them, in a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from uuid_utils.compat import uuid7

from adapters.conversations.claims import Claim, Claims
from adapters.conversations.entries import Entry
from adapters.conversations.errors import ExchangeRefused, LogUnavailable
from adapters.conversations.kept import KeptAnswer, place_of
from adapters.conversations.repository import ExchangeRepository
from adapters.conversations.writer import ExchangeWriter
from adapters.database.session import create_engine
from tests.databases import fetch, log_settings
from tests.integration.log.test_spooling import AWAY, adds_up, until, writing
from tests.records import an_exchange

FINGERPRINT = uuid4()


def a_claim(key: str = "key", **changes: Any) -> Claim:
    values: dict[str, Any] = {"fingerprint": FINGERPRINT, "exchange_id": uuid7(), "holder": uuid7()}
    return Claim(caller="local", key=key, **values | changes)


def kept(claim: Claim, answer: bytes = b"answer", *, seconds: float = 60.0) -> KeptAnswer:
    """What was made under a claim."""
    return KeptAnswer(
        caller=claim.caller,
        key=claim.key,
        fingerprint=claim.fingerprint,
        exchange_id=claim.exchange_id,
        holder=claim.holder,
        expires_at=datetime.now(UTC) + timedelta(seconds=seconds),
        answer=answer,
    )


@pytest.fixture
async def claims(writer: ExchangeWriter, database_url: str) -> AsyncIterator[Claims]:
    """Claims with a lease that is soon over."""
    engine = create_engine(log_settings(database_url))
    claims = Claims(engine, writer.link, writer.spool, patience=1.0, lease=0.5)
    yield claims
    await claims.close()
    await engine.dispose()


async def test_of_many_one_takes_it(claims: Claims) -> None:
    """The others see that it is taken, by whom it was asked for, and for how long."""
    standings = await asyncio.gather(*(claims.take(a_claim()) for _ in range(20)))
    others = [one for one in standings if one is not None]
    assert len(others) == 19
    for one in others:
        assert (one.fingerprint, one.answer) == (FINGERPRINT, None)
        assert 0 < one.seconds <= 0.5


async def test_callers_and_keys_do_not_meet(claims: Claims) -> None:
    assert await claims.take(a_claim("a")) is None
    assert await claims.take(a_claim("b")) is None
    another = Claim(caller="another", key="a", fingerprint=uuid4(), exchange_id=uuid7(), holder=uuid7())
    assert await claims.take(another) is None


async def test_lease_ends_unless_it_is_renewed(claims: Claims) -> None:
    """And who has lost a claim can neither renew nor release it."""
    first, second = a_claim(), a_claim()
    assert await claims.take(first) is None
    for _ in range(3):
        await asyncio.sleep(0.3)
        await claims.renew([first, a_claim("no such")])
    assert await claims.take(second) is not None
    await asyncio.sleep(0.6)
    assert await claims.take(second) is None
    await claims.renew([first])
    await claims.release(first)
    assert await claims.take(a_claim()) is not None


async def test_released_claim_is_free(claims: Claims) -> None:
    claim = a_claim()
    assert await claims.take(claim) is None
    await claims.release(claim)
    assert await claims.take(a_claim()) is None


async def test_kept_answer_stands_until_it_expires(claims: Claims, writer: ExchangeWriter) -> None:
    """Whoever renews or releases its claim."""
    claim = a_claim()
    assert await claims.take(claim) is None
    await writer.commit(kept(claim, seconds=1.0))
    await claims.renew([claim])
    await claims.release(claim)
    standing = await claims.take(a_claim())
    assert standing is not None
    assert (standing.answer, standing.fingerprint) == (b"answer", FINGERPRINT)
    await asyncio.sleep(1.1)
    assert await claims.take(a_claim()) is None
    standing = await claims.take(a_claim())
    assert standing is not None
    assert standing.answer is None


async def test_first_answer_of_a_key_stays(writer: ExchangeWriter, database_url: str) -> None:
    """Also one that was made without a claim; one that has expired gives way."""
    await writer.commit(kept(a_claim(), b"first"))
    await writer.commit(kept(a_claim(), b"second"))
    assert await answers(database_url) == [b"first"]
    await writer.commit(kept(a_claim("brief"), b"third", seconds=-1))
    await writer.commit(kept(a_claim("brief"), b"fourth"))
    assert sorted(await answers(database_url)) == [b"first", b"fourth"]


async def test_expired_rows_are_deleted_and_no_others(
    claims: Claims, writer: ExchangeWriter, database_url: str
) -> None:
    """More of them than go at a time."""
    for seconds in (-1, 60):
        await asyncio.gather(
            *(writer.commit(kept(a_claim(f"{seconds} {n}"), seconds=seconds)) for n in range(1100))
        )
    assert await claims.take(a_claim()) is None
    await claims.delete_expired()
    found = await fetch(database_url, "SELECT key FROM idempotent_answers")
    assert {row["key"] for row in found} == {"key", *(f"60 {n}" for n in range(1100))}


async def test_both_kinds_in_one_batch(writer: ExchangeWriter, database_url: str) -> None:
    """They become durable together, are counted together, and one that is refused takes no other along."""
    bad = an_exchange(input=b"{")
    entries: list[Entry] = [an_exchange(), kept(a_claim("a")), bad, an_exchange(), kept(a_claim("b"))]
    results = await asyncio.gather(*map(writer.commit, entries), return_exceptions=True)
    assert [type(result) for result in results] == [type(None)] * 2 + [ExchangeRefused] + [type(None)] * 2
    assert len(await answers(database_url)) == len(await fetch(database_url, "SELECT FROM exchanges")) == 2
    assert (writer.status().accepted, writer.status().committed, writer.status().refused) == (5, 4, 1)


async def test_batch_of_both_kinds_is_one_transaction(writer: ExchangeWriter, database_url: str) -> None:
    await asyncio.gather(*(writer.commit(one) for one in (an_exchange(), kept(a_claim()))))
    query = "SELECT xmin::text FROM {} "
    found = [await fetch(database_url, query.format(table)) for table in ("exchanges", "idempotent_answers")]
    assert found[0][0]["xmin"] == found[1][0]["xmin"]


async def test_answer_in_the_spool_is_found_and_shipped(database_url: str, tmp_path: Path) -> None:
    """By its key; among the exchanges nobody finds it."""
    claim, exchange = a_claim(), an_exchange()
    nowhere = create_engine(log_settings(AWAY))
    async with writing(AWAY, tmp_path) as writer:
        claims = Claims(nowhere, writer.link, writer.spool, patience=1.0, lease=1.0)
        await writer.commit(kept(claim))
        await writer.commit(kept(a_claim("expired"), seconds=-1))
        await writer.commit(exchange)
        assert writer.status().oldest_unshipped is not None
        found = await claims.spooled("local", "key")
        assert found is not None
        assert (found.answer, found.fingerprint) == (b"answer", FINGERPRINT)
        for caller, key in (("local", "another"), ("another", "key"), ("local", "expired")):
            assert await claims.spooled(caller, key) is None
        with pytest.raises(LogUnavailable):
            await claims.take(a_claim())
        repository = ExchangeRepository(nowhere, 2**20, writer.spool)
        for id in (claim.holder, place_of(claim.caller, claim.key)):
            with pytest.raises(LogUnavailable):
                await repository.get("local", id)
        assert await repository.get("local", exchange.id) == exchange
    async with writing(database_url, tmp_path) as writer:
        await until(lambda: writer.status().spooled == 0)
        assert adds_up(writer.status())
        assert writer.status().committed == 3
    assert await answers(database_url) == [b"answer", b"answer"]
    await nowhere.dispose()


async def test_slow_database_is_not_waited_for(writer: ExchangeWriter, database_url: str) -> None:
    """And what comes through late does no harm: it ends with its lease."""
    engine, other = (create_engine(log_settings(database_url)) for _ in range(2))
    claims = Claims(engine, writer.link, writer.spool, patience=0.3, lease=1.0)
    async with other.begin() as connection:
        await connection.exec_driver_sql("LOCK TABLE idempotent_answers IN EXCLUSIVE MODE")
        with pytest.raises(LogUnavailable):
            await claims.take(a_claim())
    await other.dispose()
    await asyncio.sleep(0.2)
    assert await claims.take(a_claim()) is not None  # it came through
    await asyncio.sleep(0.8)
    assert await claims.take(a_claim()) is None
    await engine.dispose()


async def answers(url: str) -> list[bytes]:
    found = await fetch(url, "SELECT answer FROM idempotent_answers ORDER BY key DESC")
    return [row["answer"] for row in found]
