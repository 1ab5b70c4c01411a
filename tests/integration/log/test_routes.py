"""`/log/exchanges` over HTTP, as a client sees it."""

from pathlib import Path
from urllib.parse import quote

import pytest
from uuid_utils.compat import uuid7

from adapters.conversations.exchange import Exchange, Outcome
from adapters.conversations.repository import ExchangeRepository
from adapters.conversations.schemas import ExchangePage, ExchangeView, ExchangeWithFeedback
from adapters.conversations.writer import ExchangeWriter
from adapters.database.session import create_engine
from tests.databases import log_settings
from tests.integration.log.server import Ask, served
from tests.records import an_exchange

ODD = rb'[{"content": "\u0000 \ud83d", "twice": 1, "twice": 2, "big": 1E400}]'


async def test_an_exchange_is_shown_as_it_was_written(writer: ExchangeWriter, ask: Ask) -> None:
    """Its texts stand in the answer byte for byte, as JSON and not as strings."""
    exchange = an_exchange(input=ODD, answer=None)
    await writer.commit(exchange)
    response = await ask(f"/log/exchanges/{exchange.id}")
    assert (response.status, response.headers["content-type"]) == (200, "application/json")
    assert b'"input":' + ODD + b"," in response.content
    shown = response.json()
    assert shown["answer"] is None
    assert (shown["id"], shown["outcome"]) == (str(exchange.id), "completed")
    assert "caller" not in shown


async def test_what_is_shown_is_what_is_documented(writer: ExchangeWriter, ask: Ask) -> None:
    """Both answers have the fields of the models in the OpenAPI document, of the types they say."""
    exchange = an_exchange(outcome=Outcome.FAILED, error=b'{"message": "broke"}')
    await writer.commit(exchange)
    one = ExchangeWithFeedback.model_validate_json((await ask(f"/log/exchanges/{exchange.id}")).content)
    page = ExchangePage.model_validate_json((await ask("/log/exchanges")).content)
    assert page.data == [one]
    assert one.error == {"message": "broke"}
    written = set(Exchange.__struct_fields__) - {"caller", "transcript_hash", "follows", "earlier"}
    assert set(ExchangeView.model_fields) == written | {"object"}


async def test_an_exchange_is_found_by_the_id_that_its_client_got(writer: ExchangeWriter, ask: Ask) -> None:
    """The ids of OpenAI's API hold ours."""
    exchange = an_exchange()
    await writer.commit(exchange)
    for prefix in ("chatcmpl-", "cmpl-", ""):
        response = await ask(f"/log/exchanges/{prefix}{exchange.id.hex}")
        assert response.json()["id"] == str(exchange.id)


async def test_reading_page_by_page(writer: ExchangeWriter, ask: Ask) -> None:
    """`last_id` given as `after` leads to the next page, in OpenAI's shape of a list."""
    exchanges = [an_exchange() for _ in range(5)]
    for exchange in exchanges:
        await writer.commit(exchange)
    first = (await ask("/log/exchanges?limit=3")).json()
    second = (await ask(f"/log/exchanges?limit=3&after={first['last_id']}")).json()
    ids = [str(exchange.id) for exchange in reversed(exchanges)]
    assert [item["id"] for item in first["data"] + second["data"]] == ids
    assert (first["object"], first["has_more"], second["has_more"]) == ("list", True, False)
    assert (first["first_id"], first["last_id"]) == (ids[0], ids[2])


async def test_filters_are_applied(writer: ExchangeWriter, ask: Ask) -> None:
    """Each filter of the query reaches the log."""
    exchange, other = an_exchange(model="one", outcome=Outcome.LENGTH), an_exchange()
    await writer.commit(exchange)
    await writer.commit(other)
    for query in (f"conversation={exchange.conversation_id}", "model=one", "outcome=length"):
        shown = (await ask(f"/log/exchanges?{query}")).json()
        assert [item["id"] for item in shown["data"]] == [str(exchange.id)]


async def test_an_empty_log_is_an_empty_list(ask: Ask) -> None:
    """Not an error."""
    assert (await ask("/log/exchanges")).json() == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


@pytest.mark.parametrize(
    ("path", "status", "param"),
    [
        ("/log/exchanges/nothing", 400, "id"),
        ("/log/exchanges/%00", 400, "id"),
        ("/log/exchanges/chatcmpl-", 400, "id"),
        ("/log/exchanges/01900000-0000-7000-8000-000000000000", 404, "id"),
        ("/log/exchanges?limit=0", 400, "limit"),
        ("/log/exchanges?limit=101", 400, "limit"),
        ("/log/exchanges?limit=many", 400, "limit"),
        ("/log/exchanges?after=x", 400, "after"),
        ("/log/exchanges?after=01900000-0000-7000-8000-000000000000", 404, "after"),
        ("/log/exchanges?conversation=%00", 400, "conversation"),
        ("/log/exchanges?outcome=splendid", 400, "outcome"),
        ("/log/exchanges?model=%00", 400, "model"),
        ("/log/exchanges?order=asc", 400, "order"),
    ],
)
async def test_a_wrong_request_names_its_field(ask: Ask, path: str, status: int, param: str) -> None:
    """In the shape of OpenAI's API."""
    response = await ask(path)
    assert response.status == status
    error = response.json()["error"]
    assert (error["param"], error["type"]) == (param, "invalid_request_error")
    assert error["message"]


async def test_odd_filters_find_nothing_and_break_nothing(ask: Ask) -> None:
    """Whatever text a model's name is asked for in."""
    for name in ("%", "' OR 1=1 --", "\N{SNOWMAN}", "\ufffd", "x" * 512):
        response = await ask(f"/log/exchanges?model={quote(name)}")
        assert (response.status, response.json()["data"]) == (200, [])


async def test_a_database_that_is_away_is_a_503(tmp_path: Path) -> None:
    """With `Retry-After`, and without a word of where the database would be."""
    engine = create_engine(log_settings(f"postgresql://nobody:hidden@/nothing?host={tmp_path}"))
    async with served(ExchangeRepository(engine, page_bytes=1000)) as ask:
        for path in ("/log/exchanges", f"/log/exchanges/{uuid7()}"):
            response = await ask(path)
            assert (response.status, response.headers["retry-after"]) == (503, "5")
            error = response.json()["error"]
            assert error["code"] == "log_unavailable"
            assert "hidden" not in response.content.decode()
            assert str(tmp_path) not in response.content.decode()
    await engine.dispose()
