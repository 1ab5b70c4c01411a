"""Reading the log back from a real PostgreSQL."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from adapters.conversations.errors import ConversationTooLong, ExchangeNotFound
from adapters.conversations.exchange import Exchange, Outcome
from adapters.conversations.repository import ExchangeRepository, Filters
from adapters.conversations.writer import ExchangeWriter
from adapters.database.session import create_engine
from tests.databases import log_settings
from tests.records import an_exchange

EVERYTHING = Filters()


async def test_every_field_comes_back(writer: ExchangeWriter, repository: ExchangeRepository) -> None:
    """An exchange with every field set, and one with as few as there may be, are read as they were written."""
    full = an_exchange(
        conversation_id=uuid7(),
        parent_id=uuid7(),
        fingerprint="engine-1",
        outcome=Outcome.FAILED,
        error=b'{"message": "broke"}',
        cached_tokens=3,
        metadata=b'{"a": "b"}',
        started_at=datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC),
    )
    bare = an_exchange(
        answer=None, finish_reason=None, prompt_tokens=None, completion_tokens=None, first_token_ms=None
    )
    for exchange in (full, bare):
        await writer.commit(exchange)
        assert await repository.get("local", exchange.id) == exchange


async def test_callers_do_not_see_each_other(writer: ExchangeWriter, repository: ExchangeRepository) -> None:
    """Another's exchange is not found, not listed, no place to go on from, and not continued."""
    theirs, mine = an_exchange(caller="them"), an_exchange(caller="me")
    child = an_exchange(caller="me", parent_id=theirs.id)
    await _write(writer, theirs, mine, child)
    with pytest.raises(ExchangeNotFound):
        await repository.get("me", theirs.id)
    page = await repository.page("me", filters=EVERYTHING, limit=10)
    assert [exchange.id for exchange in page.exchanges] == [child.id, mine.id]
    with pytest.raises(ExchangeNotFound):
        await repository.page("me", filters=EVERYTHING, limit=10, after=theirs.id)
    with pytest.raises(ExchangeNotFound):
        await repository.conversation("me", theirs.id)
    conversation = await repository.conversation("me", child.id)
    assert [exchange.id for exchange in conversation.exchanges] == [child.id]


async def test_pages_stay_where_they_are_while_more_is_said(
    writer: ExchangeWriter, repository: ExchangeRepository
) -> None:
    """Reading page by page gives every exchange there was, once, newest first, whatever comes in meanwhile."""
    exchanges = [an_exchange() for _ in range(25)]
    await _write(writer, *exchanges)
    read: list[UUID] = []
    has_more = True
    while has_more:
        page = await repository.page("local", filters=EVERYTHING, limit=10, after=read[-1] if read else None)
        read += [exchange.id for exchange in page.exchanges]
        has_more = page.has_more
        await _write(writer, an_exchange(), an_exchange())
    assert read == [exchange.id for exchange in reversed(exchanges)]


async def test_a_page_that_is_exactly_full_is_the_last(
    writer: ExchangeWriter, repository: ExchangeRepository
) -> None:
    """`has_more` is true only if there is more; an empty log is one empty page."""
    assert not (await repository.page("local", filters=EVERYTHING, limit=3)).has_more
    await _write(writer, *(an_exchange() for _ in range(3)))
    page = await repository.page("local", filters=EVERYTHING, limit=3)
    assert (len(page.exchanges), page.has_more) == (3, False)
    page = await repository.page("local", filters=EVERYTHING, limit=2)
    assert (len(page.exchanges), page.has_more) == (2, True)


@pytest.mark.parametrize(
    ("changes", "others"),
    [
        ({"conversation_id": UUID(int=7)}, {"conversation_id": UUID(int=8)}),
        ({"model": "one"}, {"model": "two"}),
        ({"outcome": Outcome.CLIENT_GONE}, {"outcome": Outcome.CANCELLED}),
    ],
    ids=["conversation", "model", "outcome"],
)
async def test_filters(
    writer: ExchangeWriter, repository: ExchangeRepository, changes: dict[str, Any], others: dict[str, Any]
) -> None:
    """A filter keeps what it names and nothing else."""
    wanted = [an_exchange(**changes) for _ in range(2)]
    await _write(writer, wanted[0], an_exchange(**others), wanted[1], an_exchange(**others))
    page = await repository.page("local", filters=Filters(**changes), limit=10)
    assert [exchange.id for exchange in page.exchanges] == [wanted[1].id, wanted[0].id]
    assert not page.has_more


async def test_a_page_is_bounded_in_bytes(writer: ExchangeWriter, database_url: str) -> None:
    """Long texts make a page shorter, reading on misses nothing, and one that is too long comes alone."""
    sizes = [100, 5000, 4000, 20_000, 300, 300]
    exchanges = [an_exchange(input=b'"%s"' % (b"x" * size)) for size in sizes]
    await _write(writer, *exchanges)
    engine = create_engine(log_settings(database_url))
    repository = ExchangeRepository(engine, page_bytes=10_000)
    pages: list[int] = []
    after, has_more = None, True
    while has_more:
        page = await repository.page("local", filters=EVERYTHING, limit=100, after=after)
        pages.append(len(page.exchanges))
        after, has_more = page.exchanges[-1].id, page.has_more
    assert pages == [2, 1, 3]
    await engine.dispose()


async def test_a_conversation_is_read_from_its_beginning(
    writer: ExchangeWriter, repository: ExchangeRepository
) -> None:
    """By the conversation's id one gets the newest branch; by an exchange's, the branch up to there."""
    first, second, sibling, third = _thread()
    await _write(writer, first, second, sibling, third)
    whole = await repository.conversation("local", first.conversation_id)
    assert [exchange.id for exchange in whole.exchanges] == [first.id, sibling.id, third.id]
    branch = await repository.conversation("local", second.id)
    assert [exchange.id for exchange in branch.exchanges] == [first.id, second.id]
    assert whole.id == branch.id == first.conversation_id


async def test_a_conversation_goes_on_from_its_last_answer(
    writer: ExchangeWriter, repository: ExchangeRepository
) -> None:
    """Exchanges that failed or were broken off are not part of what is continued."""
    first, second, *_ = _thread()
    broken = an_exchange(
        conversation_id=first.conversation_id, parent_id=second.id, outcome=Outcome.CLIENT_GONE, answer=None
    )
    await _write(writer, first, second, broken)
    conversation = await repository.conversation("local", first.conversation_id)
    assert [exchange.id for exchange in conversation.exchanges] == [first.id, second.id]


async def test_a_conversation_that_only_ever_failed_is_there_and_empty(
    writer: ExchangeWriter, repository: ExchangeRepository
) -> None:
    """A client may go on with it; nothing has been said so far."""
    failed = an_exchange(outcome=Outcome.FAILED, answer=None)
    await _write(writer, failed)
    conversation = await repository.conversation("local", failed.conversation_id)
    assert (conversation.id, conversation.exchanges) == (failed.conversation_id, [])


async def test_an_unknown_conversation_is_not_found(repository: ExchangeRepository) -> None:
    """Neither a conversation nor an exchange has this id."""
    with pytest.raises(ExchangeNotFound):
        await repository.conversation("local", uuid7())


async def test_a_conversation_is_bounded(writer: ExchangeWriter, database_url: str) -> None:
    """What is longer than the setting, or goes round in a circle, is refused and not read."""
    engine = create_engine(log_settings(database_url))
    repository = ExchangeRepository(engine, page_bytes=1000)
    long = {"input": b'"%s"' % (b"x" * 600), "conversation_id": uuid7()}
    first = an_exchange(**long)
    second = an_exchange(**long, parent_id=first.id)
    one, two = uuid7(), uuid7()
    circle = [an_exchange(id=one, parent_id=two), an_exchange(id=two, parent_id=one)]
    await _write(writer, first, second, *circle)
    for id in (second.id, one):
        with pytest.raises(ConversationTooLong):
            await repository.conversation("local", id)
    assert len((await repository.conversation("local", first.id)).exchanges) == 1
    await engine.dispose()


async def test_a_long_conversation_is_read_in_one_go(
    writer: ExchangeWriter, repository: ExchangeRepository
) -> None:
    """Three hundred turns come back in order, promptly."""
    root = an_exchange(input=b'"1"')
    thread = [root]
    for _ in range(299):
        thread.append(
            an_exchange(parent_id=thread[-1].id, conversation_id=root.conversation_id, input=b'"1"')
        )
    await _write(writer, *thread)
    began = datetime.now(UTC)
    conversation = await repository.conversation("local", root.conversation_id)
    assert datetime.now(UTC) - began < timedelta(seconds=1)
    assert [exchange.id for exchange in conversation.exchanges] == [exchange.id for exchange in thread]


def _thread() -> tuple[Exchange, Exchange, Exchange, Exchange]:
    """An exchange, its continuation, another continuation of the first, and what followed on that one."""
    first = an_exchange()
    second = an_exchange(parent_id=first.id, conversation_id=first.conversation_id)
    sibling = an_exchange(parent_id=first.id, conversation_id=first.conversation_id)
    third = an_exchange(parent_id=sibling.id, conversation_id=first.conversation_id)
    return first, second, sibling, third


async def _write(writer: ExchangeWriter, *exchanges: Exchange) -> None:
    for durable in [writer.commit(exchange) for exchange in exchanges]:
        await durable
