"""Deleting what was said: nowhere left, never back, and nothing else lost with it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from adapters.conversations.deletion import Deletion
from adapters.conversations.errors import LogUnavailable
from adapters.conversations.exchange import Exchange, Outcome
from adapters.conversations.kept import KeptAnswer
from adapters.conversations.repository import ExchangeRepository, Filters
from adapters.conversations.whole import WholeConversations
from adapters.conversations.writer import ExchangeWriter
from adapters.database.session import create_engine
from adapters.zephyr.thread import thread_of
from tests.databases import NO_SPOOL, fetch, log_settings
from tests.records import an_exchange

SECRET = "xyzzy-the-secret"
AWAY = "postgresql://nobody@/nothing?host=/proc"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(log_settings(database_url))
    yield engine
    await engine.dispose()


def a_secret(**changes: Any) -> Exchange:
    """An exchange that has the secret wherever a client or an engine can put a text."""
    text = b'"%s"' % SECRET.encode()
    told: dict[str, Any] = dict.fromkeys(("input", "answer"), b'[{"content": %s}]' % text)
    told |= dict.fromkeys(("error", "parameters", "metadata"), b'{"a": %s}' % text)
    told |= {"fingerprint": SECRET, "finish_reason": SECRET, "stored": True}
    return an_exchange(**told | changes)


async def count_of_secrets(url: str) -> int:
    """Rows that hold the secret in any column of any table; partitions are read as their table."""
    tables = await fetch(
        url,
        """SELECT relname AS tablename FROM pg_class
           WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition""",
    )
    found = [
        await fetch(
            url, f"SELECT count(*) FROM {table['tablename']} AS one WHERE one::text LIKE $1", f"%{SECRET}%"
        )
        for table in tables
    ]
    return sum(rows[0][0] for rows in found)


def spooled_secrets(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if SECRET.encode() in file.read_bytes()]


async def until_shipped(writer: ExchangeWriter) -> None:
    async with asyncio.timeout(10):
        while writer.status().spooled:
            await asyncio.sleep(0.02)


async def test_what_is_left_is_what_accounting_needs(
    writer: ExchangeWriter, repository: ExchangeRepository, database_url: str
) -> None:
    exchange = a_secret(parent_id=an_exchange().id, cached_tokens=1)
    await writer.commit(exchange)
    assert await count_of_secrets(database_url) == 1
    await Deletion(repository, writer.erase).delete(exchange)
    assert await count_of_secrets(database_url) == 0
    left = await repository.get("local", exchange.id)
    assert left.deleted_at is not None
    for name in ("conversation_id", "parent_id", "caller", "door", "endpoint", "model", "outcome", "started_at",
                 "prompt_tokens", "cached_tokens", "completion_tokens", "first_token_ms", "total_ms"):  # fmt: skip
        assert getattr(left, name) == getattr(exchange, name), name
    (row,) = await fetch(database_url, "SELECT * FROM exchanges")
    assert (row["stored"], row["transcript_hash"], row["metadata_pairs"]) == (False, None, None)
    page = await repository.page("local", filters=Filters(), limit=10)
    assert page.exchanges == [left]


async def test_a_title_goes_with_the_last_exchange_of_its_conversation(
    writer: ExchangeWriter, repository: ExchangeRepository, database_url: str
) -> None:
    """And no earlier, and no other conversation's."""
    deletion = Deletion(repository, writer.erase)
    conversations = WholeConversations(repository, deletion)
    first, another = an_exchange(), an_exchange()
    last = an_exchange(conversation_id=first.conversation_id, parent_id=first.id)
    for one in (first, last, another):
        await writer.commit(one)
    for one in (first, another):
        await conversations.name("local", one.conversation_id, SECRET)
    await deletion.delete(first)
    assert await count_of_secrets(database_url) == 2
    await deletion.delete(last)
    assert await count_of_secrets(database_url) == 1


async def test_deleting_again_changes_nothing(writer: ExchangeWriter, repository: ExchangeRepository) -> None:
    exchange = a_secret()
    await writer.commit(exchange)
    deletion = Deletion(repository, writer.erase)
    first = await deletion.delete(exchange)
    assert await deletion.delete(first) == first
    assert await deletion.delete(exchange) == first


async def test_a_replay_does_not_bring_it_back(
    writer: ExchangeWriter, repository: ExchangeRepository, database_url: str
) -> None:
    exchange = a_secret()
    await writer.commit(exchange)
    await Deletion(repository, writer.erase).delete(exchange)
    await writer.commit(exchange)
    assert await count_of_secrets(database_url) == 0


async def test_what_is_only_in_the_spool_is_deleted_there(
    database_url: str, database: AsyncEngine, tmp_path: Path
) -> None:
    """Without a trace in its files; it is counted as what is in the database, where a row without texts is."""
    writer = ExchangeWriter(log_settings(AWAY, spool_dir=tmp_path))
    await writer.start()
    exchange, other = a_secret(), an_exchange()
    for one in (exchange, other):
        await writer.commit(one)
    assert spooled_secrets(tmp_path)
    log = ExchangeRepository(database, 2**20, writer.spool)
    await Deletion(log, writer.erase).delete(await log.get("local", exchange.id))
    assert spooled_secrets(tmp_path) == []
    status = writer.status()
    assert (status.accepted, status.spooled, status.committed) == (2, 1, 1)
    assert (await log.get("local", exchange.id)).deleted_at is not None
    assert await log.get("local", other.id) == other
    await writer.close()
    assert await count_of_secrets(database_url) == 0


async def test_deleted_while_it_is_being_shipped(
    database_url: str, database: AsyncEngine, tmp_path: Path
) -> None:
    """The writer has read it from the spool already: what it then writes changes nothing, and the sum holds."""
    left = ExchangeWriter(log_settings(AWAY, spool_dir=tmp_path))
    await left.start()
    exchange = a_secret()
    await left.commit(exchange)
    await left.close()
    writer = ExchangeWriter(log_settings(database_url, spool_dir=tmp_path))
    log = ExchangeRepository(database, 2**20, writer.spool)
    deletion = Deletion(log, writer.erase)
    insert = writer._insert

    async def delete_first(rows: Any, timeout: float) -> None:
        await deletion.delete(exchange)
        await insert(rows, timeout)

    writer._insert = delete_first  # type: ignore[method-assign, assignment]
    await writer.start()
    await until_shipped(writer)
    await writer.commit(an_exchange())  # is written when the shipping is over
    status = writer.status()
    await writer.close()
    assert (status.accepted, status.spooled, status.committed) == (2, 0, 2)
    assert await count_of_secrets(database_url) == 0
    assert spooled_secrets(tmp_path) == []


async def test_while_the_database_is_away_nothing_is_said_to_be_deleted(tmp_path: Path) -> None:
    """And nothing is: it can still be read, and deleted later."""
    writer = ExchangeWriter(log_settings(AWAY, spool_dir=tmp_path))
    await writer.start()
    exchange = a_secret()
    await writer.commit(exchange)
    nowhere = create_engine(log_settings(AWAY))
    log = ExchangeRepository(nowhere, 2**20, writer.spool)
    with pytest.raises(LogUnavailable):
        await Deletion(log, writer.erase).delete(exchange)
    assert await log.get("local", exchange.id) == exchange
    await nowhere.dispose()
    await writer.close()


async def test_a_spool_that_cannot_forget_is_told(
    database_url: str, database: AsyncEngine, tmp_path: Path
) -> None:
    """As long as it is known to hold something; one that never held anything is no reason to refuse."""
    writer = ExchangeWriter(log_settings(AWAY, spool_dir=tmp_path / "spool"))
    await writer.start()
    exchange = a_secret()
    await writer.commit(exchange)
    await writer.close()  # its file is let go; from now on the folder is not one
    (tmp_path / "spool").rename(tmp_path / "elsewhere")
    (tmp_path / "spool").write_text("in the way")
    broken = ExchangeWriter(log_settings(database_url, spool_dir=tmp_path / "spool"))
    broken.spool.count = 1
    log = ExchangeRepository(database, 2**20)
    with pytest.raises(LogUnavailable):
        await Deletion(log, broken.erase).delete(exchange)
    none = ExchangeWriter(log_settings(database_url, spool_dir=NO_SPOOL))
    assert (await Deletion(log, none.erase).delete(exchange)).deleted_at is not None


async def test_what_went_on_from_it_keeps_what_it_said(
    writer: ExchangeWriter, repository: ExchangeRepository
) -> None:
    """The deleted turn is left out, wherever it stood; the conversation goes on from the last that is there."""
    first = an_exchange(input=b'[{"role": "user", "content": "one"}]')
    steps = [first]
    for text in (b"two", b"three"):
        steps.append(
            an_exchange(
                input=b'[{"role": "user", "content": "%s"}]' % text,
                conversation_id=first.id,
                parent_id=steps[-1].id,
            )
        )
    for step in steps:
        await writer.commit(step)
    deletion = Deletion(repository, writer.erase)

    async def said(of: Exchange) -> list[object]:
        conversation = await repository.conversation("local", of.id)
        assert all(exchange.deleted_at is None for exchange in conversation.exchanges)
        turns = thread_of(conversation).turns
        return [turn.content for turn in turns if turn.role == "user"]

    await deletion.delete(steps[1])
    assert await said(steps[2]) == ["one", "three"]
    await deletion.delete(steps[2])
    assert await said(first) == ["one"]
    assert await said(steps[2]) == ["one"]
    await deletion.delete(first)
    assert await said(first) == []


async def test_nobody_goes_on_from_a_deleted_transcript(
    writer: ExchangeWriter, repository: ExchangeRepository
) -> None:
    """What a client repeats of it is a conversation of its own, with what that client said."""
    first = a_secret(transcript_hash=an_exchange().id)
    await writer.commit(first)
    await Deletion(repository, writer.erase).delete(first)
    later = an_exchange(follows=first.transcript_hash, earlier=b'["repeated"]', input=b'["new"]')
    await writer.commit(later)
    found = await repository.get("local", later.id)
    assert (found.parent_id, found.input) == (None, b'["repeated","new"]')


async def test_what_failed_is_deleted_as_well(
    writer: ExchangeWriter, repository: ExchangeRepository, database_url: str
) -> None:
    exchange = a_secret(outcome=Outcome.FAILED, answer=None, stored=False)
    await writer.commit(exchange)
    left = await Deletion(repository, writer.erase).delete(exchange)
    assert (left.outcome, left.error) == (Outcome.FAILED, None)
    assert await count_of_secrets(database_url) == 0


async def test_the_answer_that_is_kept_for_a_repeated_request_goes_too(
    database_url: str, database: AsyncEngine, writer: ExchangeWriter
) -> None:
    """And one that comes later, out of a spool, does not bring the text back."""
    exchange = a_secret()
    await writer.commit(exchange)
    await writer.commit(kept_of(exchange, "first"))
    assert await count_of_answers(database_url) == 1
    await Deletion(ExchangeRepository(database, 2**20), writer.erase).delete(exchange)
    assert await count_of_answers(database_url) == 0
    await writer.commit(kept_of(exchange, "second"))
    assert await count_of_answers(database_url) == 0


def kept_of(exchange: Exchange, key: str) -> KeptAnswer:
    return KeptAnswer(
        caller=exchange.caller,
        key=key,
        fingerprint=uuid7(),
        exchange_id=exchange.id,
        holder=uuid7(),
        expires_at=datetime.now(UTC) + timedelta(hours=1),
        answer=b"what was said",
    )


async def count_of_answers(url: str) -> int:
    count: int = (await fetch(url, "SELECT count(*) FROM idempotent_answers"))[0]["count"]
    return count
