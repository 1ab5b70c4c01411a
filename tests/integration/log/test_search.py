"""What was said is found by its words, in a real PostgreSQL."""

import json
from urllib.parse import quote

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.conversations.deletion import Deletion
from adapters.conversations.exchange import Exchange
from adapters.conversations.repository import ExchangeRepository, Filters
from adapters.conversations.said import searched
from adapters.conversations.writer import ExchangeWriter
from adapters.database.session import create_engine
from tests.databases import fetch, log_settings
from tests.integration.log.months import name
from tests.integration.log.plans import explain, scanned_whole, watched
from tests.integration.log.server import Ask
from tests.records import an_exchange


def saying(question: str, answer: str = "", **changes: object) -> Exchange:
    """An exchange in which this was said."""
    return an_exchange(
        input=json.dumps([{"role": "user", "content": question}]).encode(),
        answer=json.dumps([{"index": 0, "content": answer}]).encode(),
        **changes,
    )


async def found(ask: Ask, query: str) -> list[str]:
    """The ids of what a search finds."""
    answer = await ask(f"/log/search?q={quote(query)}")
    assert answer.status == 200, answer.content
    return [one["id"] for one in answer.json()["data"]]


@pytest.mark.parametrize(
    ("query", "finds"),
    [
        ("comprehension", ["list"]),
        ("LIST", ["tuple", "list"]),
        ("grün", ["list"]),
        ("newline", ["list"]),
        ("list tuple", ["tuple"]),
        ("list or hashing", ["dict", "tuple", "list"]),
        ("list -tuple", ["list"]),
        ('"a list comprehension"', ["list"]),
        ('"comprehension list"', []),
        ("role", []),
        ("content", []),
        ("user", []),
        ("-", []),
        ("'); DROP TABLE exchanges --", []),
        ("&|!():*", []),
    ],
)
async def test_words_find_what_was_said(
    writer: ExchangeWriter, ask: Ask, query: str, finds: list[str]
) -> None:
    """Newest first, in questions and answers; and not by what JSON adds to them."""
    said = {
        "list": saying("What is a list comprehension?\nnewline", "Gr\u00fcn \U0001f33f"),
        "tuple": saying("a list", "or a tuple"),
        "dict": saying("hashing"),
    }
    for exchange in said.values():
        await writer.commit(exchange)
    assert await found(ask, query) == [str(said[name].id) for name in finds]


async def test_nobody_finds_what_another_said(
    writer: ExchangeWriter, ask: Ask, repository: ExchangeRepository
) -> None:
    """Not even that it was said."""
    await writer.commit(saying("secret", caller="them"))
    assert await found(ask, "secret") == []
    theirs = await repository.page("them", filters=Filters(words="secret"), limit=5)
    assert len(theirs.exchanges) == 1


async def test_what_was_deleted_is_not_found(
    writer: ExchangeWriter, ask: Ask, repository: ExchangeRepository
) -> None:
    """Its words are gone with its texts."""
    exchange = saying("secret")
    await writer.commit(exchange)
    assert len(await found(ask, "secret")) == 1
    await Deletion(repository, writer.erase).delete(exchange)
    assert await found(ask, "secret") == []


async def test_a_search_is_read_page_by_page(writer: ExchangeWriter, ask: Ask) -> None:
    """Like the log."""
    exchanges = [saying("again") for _ in range(5)]
    for exchange in exchanges:
        await writer.commit(exchange)
    first = (await ask("/log/search?q=again&limit=3")).json()
    second = (await ask(f"/log/search?q=again&limit=3&after={first['last_id']}")).json()
    ids = [one["id"] for one in first["data"] + second["data"]]
    assert ids == [str(exchange.id) for exchange in reversed(exchanges)]
    assert (first["has_more"], second["has_more"]) == (True, False)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("", "q"),
        ("q=", "q"),
        ("q=%00", "q"),
        (f"q={'x' * 513}", "q"),
        ("q=x&limit=0", "limit"),
        ("q=x&a=b", "a"),
    ],
)
async def test_a_wrong_search_names_its_field(ask: Ask, query: str, param: str) -> None:
    """In the shape of OpenAI's API."""
    answer = await ask(f"/log/search?{query}")
    assert (answer.status, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    "input",
    [
        b'[{"content": "\\u0000 \\ud83d", "twice": 1, "twice": 2, "big": 1E400}]',
        b'[{"role": "user", "content": "nothing\\u0000here"}]',
        json.dumps(" ".join(f"{number:x}" for number in range(100_000))).encode(),
        json.dumps("".join(chr(number) + " " for number in range(0x4E00, 0x9FFF)) * 2).encode(),
        json.dumps("-".join(f"{number:x}" for number in range(100_000))).encode(),
        json.dumps(
            " ".join(f"http://{number:x}.de/{number:x}/?q={number}" for number in range(20_000))
        ).encode(),
        json.dumps("x" * 1_000_000).encode(),
        json.dumps("\\'\"& | ! <-> :*" * 10_000).encode(),
    ],
    ids=["odd", "null", "numbers", "signs", "hyphens", "addresses", "one word", "operators"],
)
async def test_nothing_that_was_said_keeps_it_from_being_written(
    writer: ExchangeWriter, repository: ExchangeRepository, input: bytes
) -> None:
    """However many words, however long and odd: the log comes first."""
    exchange = an_exchange(input=input)
    await writer.commit(exchange)
    assert (await repository.get("local", exchange.id)).input == input


@given(st.text(max_size=300))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_search_is_answered(database_url: str, query: str) -> None:
    """PostgreSQL takes whatever text as a search."""
    text = query.replace("\x00", "").encode(errors="replace").decode()
    connection = await asyncpg.connect(database_url)
    await connection.fetch("SELECT FROM exchanges WHERE words @@ websearch_to_tsquery('simple', $1)", text)
    await connection.close()


def test_what_is_repeated_is_searched_once() -> None:
    """Only what is new in an exchange is its own."""
    exchange = an_exchange(
        earlier=b'[{"role": "user", "content": "before"}]', input=b'[{"role": "user", "content": "now"}]'
    )
    assert searched(exchange) == "now\nHi"


async def test_a_search_reads_no_table_whole(full_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rare word is found by the index of words, a common one among the newest exchanges."""
    said = "to_tsvector('simple', 'common ' || input::text)"
    await fetch(full_url, f"UPDATE exchanges SET caller = 'local', words = {said}")
    await fetch(full_url, "VACUUM ANALYZE exchanges")
    monkeypatch.setattr("adapters.conversations.repository._MOST_HITS", 1000)
    engine = create_engine(log_settings(full_url))
    repository = ExchangeRepository(engine, page_bytes=2**20)
    plans = {}
    for words, hits in (("19857", 1), ("common", 20)):
        async with watched(engine) as statements:
            page = await repository.page("local", filters=Filters(words=words), limit=20)
        assert len(page.exchanges) == hits
        plans[words] = [
            await explain(full_url, statement, *values, options="ANALYZE")
            for statement, values in statements.seen
        ]
    await engine.dispose()
    for plan in plans["19857"]:
        assert await scanned_whole(full_url, plan) == set(), plan
    assert plans["19857"][0].count("_words_idx") >= 5, plans["19857"][0]
    assert "words @@" not in plans["19857"][-1], plans["19857"][-1]
    newest = plans["common"][-1]
    assert await scanned_whole(full_url, newest) == set(), newest
    older = [line for line in newest.splitlines() if " on " in line and name(2) in line]
    assert older
    assert all("never executed" in line for line in older), newest


async def test_common_words_and_rare_ones_are_found_alike(
    writer: ExchangeWriter, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page, whichever way they are looked for."""
    exchanges = [saying("again") for _ in range(7)]
    for exchange in exchanges:
        await writer.commit(exchange)
    ids = [str(exchange.id) for exchange in reversed(exchanges)]
    for most in (10_000, 7, 6, 0):
        monkeypatch.setattr("adapters.conversations.repository._MOST_HITS", most)
        shown, after, has_more = [], "", True
        while has_more:
            page = (await ask(f"/log/search?q=again&limit=3{after}")).json()
            shown += [one["id"] for one in page["data"]]
            after, has_more = f"&after={page['last_id']}", page["has_more"]
        assert shown == ids
