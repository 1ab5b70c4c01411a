"""A caller's own conversations, listed from a real PostgreSQL."""

import json
import time

import pytest
from uuid_utils.compat import uuid7

from adapters.conversations.deletion import Deletion
from adapters.conversations.exchange import Exchange
from adapters.conversations.repository import ExchangeRepository
from adapters.conversations.writer import ExchangeWriter
from adapters.database.session import create_engine
from adapters.responses.conversation_list import ConversationList
from tests.databases import log_settings
from tests.integration.log.plans import explain, scanned_whole, watched
from tests.integration.log.server import Ask
from tests.records import an_exchange


def begun(text: str) -> Exchange:
    """The first exchange of a conversation."""
    return an_exchange(input=json.dumps([{"role": "user", "content": text}]).encode())


def after(first: Exchange) -> Exchange:
    """The next exchange of it."""
    return an_exchange(conversation_id=first.conversation_id, parent_id=first.id)


async def test_conversations_are_listed_by_their_last_exchange(writer: ExchangeWriter, ask: Ask) -> None:
    """Newest first, with title, times and number of exchanges."""
    one, two = begun("  What is a\nlist? "), begun("And a " + "very " * 30 + "long question?")
    last = after(one)
    for exchange in (one, two, last, begun("")):
        await writer.commit(exchange)
    listed = (await ask("/v1/conversations")).json()
    assert (listed["object"], listed["has_more"]) == ("list", False)
    empty, first, second = listed["data"]
    assert (empty["title"], empty["exchanges"]) == (None, 1)
    assert (first["id"], first["title"]) == (str(one.id), "What is a list?")
    assert (first["exchanges"], first["last_exchange_id"]) == (2, str(last.id))
    assert second["title"] == "And a very very very very very very very very very very\N{HORIZONTAL ELLIPSIS}"
    assert first["created_at"] <= second["created_at"] <= first["updated_at"] <= int(time.time())


async def test_pages_stay_where_they_are_while_more_is_said(writer: ExchangeWriter, ask: Ask) -> None:
    """Every conversation comes once, although one that was shown goes on meanwhile."""
    begun_ones = [begun(f"number {number}") for number in range(7)]
    for exchange in begun_ones:
        await writer.commit(exchange)
    shown: list[str] = []
    query = "?limit=3"
    while True:
        page = (await ask(f"/v1/conversations{query}")).json()
        shown += [one["title"] for one in page["data"]]
        if not page["has_more"]:
            break
        query = f"?limit=3&after={page['last_id']}"
        await writer.commit(after(begun_ones[-1]))
    assert shown == [f"number {number}" for number in reversed(range(7))]


async def test_only_ones_own_are_listed(
    writer: ExchangeWriter, ask: Ask, repository: ExchangeRepository
) -> None:
    """Also where another's exchange claims to be part of one's conversation."""
    mine = begun("mine")
    await writer.commit(mine)
    await writer.commit(an_exchange(caller="them", conversation_id=mine.id))
    (listed,) = (await ask("/v1/conversations")).json()["data"]
    assert (listed["id"], listed["exchanges"]) == (str(mine.id), 1)
    theirs = await ConversationList(repository).page("them", limit=5)
    assert [one.exchanges for one in theirs.conversations] == [1]


async def test_what_was_deleted_is_not_there(
    writer: ExchangeWriter, ask: Ask, repository: ExchangeRepository
) -> None:
    """A conversation is what is left of it, and is listed where that was said."""
    one, two, gone = begun("one"), begun("two"), begun("gone")
    last = after(one)
    for exchange in (one, two, last, gone):
        await writer.commit(exchange)
    for exchange in (last, gone):
        await Deletion(repository, writer.erase).delete(exchange)
    listed = (await ask("/v1/conversations")).json()["data"]
    assert [(conversation["title"], conversation["exchanges"]) for conversation in listed] == [
        ("two", 1),
        ("one", 1),
    ]


@pytest.mark.parametrize(
    "input",
    [b'"a prompt"', b'["a prompt", "another"]', b'[{"role": "system", "content": "Be kind."}, {"role": "user", "content": "a prompt"}]',
     b'[{"role": "user", "content": [{"type": "text", "text": "a prompt"}]}]', b'"```python\\na prompt"'],
)  # fmt: skip
async def test_a_title_is_what_the_user_said_first(writer: ExchangeWriter, ask: Ask, input: bytes) -> None:
    """In whichever of the API's forms, without what only says that code begins."""
    await writer.commit(an_exchange(input=input))
    (listed,) = (await ask("/v1/conversations")).json()["data"]
    assert listed["title"] == "a prompt"


@pytest.mark.parametrize(
    "input", [b'[{"role": "user", "content": "\\ud83d"}]', b"[[1, 2]]", b"null", b'"%s"' % (b"x" * 70_000)]
)
async def test_what_has_no_words_has_no_title(writer: ExchangeWriter, ask: Ask, input: bytes) -> None:
    """Half a surrogate pair, tokens, nothing, and what is too long to be read for it."""
    await writer.commit(an_exchange(input=input))
    (listed,) = (await ask("/v1/conversations")).json()["data"]
    assert listed["title"] is None


async def test_a_null_character_is_no_harm(writer: ExchangeWriter, ask: Ask) -> None:
    """PostgreSQL's text takes none; JSON does."""
    await writer.commit(an_exchange(input=b'[{"role": "user", "content": "before\\u0000after"}]'))
    (listed,) = (await ask("/v1/conversations")).json()["data"]
    assert listed["title"] == "before\u0000after"


@pytest.mark.parametrize(
    ("query", "param"),
    [("limit=0", "limit"), ("limit=101", "limit"), ("after=x", "after"), ("order=asc", "order")],
)
async def test_a_wrong_request_names_its_field(ask: Ask, query: str, param: str) -> None:
    """In the shape of OpenAI's API."""
    answer = await ask(f"/v1/conversations?{query}")
    assert (answer.status, answer.json()["error"]["param"]) == (400, param)


async def test_after_any_id_there_is_a_page(ask: Ask) -> None:
    """An id is a place in time, whether or not anything is there."""
    assert (await ask(f"/v1/conversations?after={uuid7()}")).json()["data"] == []


async def test_conversations_are_found_by_indexes(full_url: str) -> None:
    """Nothing is read whole or sorted, however full the log."""
    engine = create_engine(log_settings(full_url))
    async with watched(engine) as statements:
        page = await ConversationList(ExchangeRepository(engine, page_bytes=2**20)).page("caller 7", limit=5)
    await engine.dispose()
    assert [one.exchanges for one in page.conversations[1:]] == [10] * 4
    ((statement, values),) = statements.seen
    plan = await explain(full_url, statement, *values, options="ANALYZE, BUFFERS OFF")
    assert await scanned_whole(full_url, plan) == set(), plan
    assert "Merge Append" not in plan, plan
    assert "Hash" not in plan, plan
