"""What a caller thinks of answers, over HTTP and in a real PostgreSQL."""

import pytest
from uuid_utils.compat import uuid7

from adapters.conversations.deletion import Deletion
from adapters.conversations.errors import ExchangeNotFound
from adapters.conversations.feedback import FeedbackRepository
from adapters.conversations.repository import ExchangeRepository
from adapters.conversations.writer import ExchangeWriter
from tests.databases import fetch
from tests.integration.log.server import Ask
from tests.records import an_exchange


async def test_feedback_is_given_changed_and_taken_back(
    writer: ExchangeWriter, database_url: str, ask: Ask
) -> None:
    """Members that are left out stay; when all are taken back, nothing is kept."""
    exchange = an_exchange()
    await writer.commit(exchange)
    path = f"/log/exchanges/chatcmpl-{exchange.id.hex}"
    before = (await ask(path)).json()["feedback"]
    empty = {"object": "feedback", "exchange_id": str(exchange.id), "rating": None, "comment": None}
    assert before == {**empty, "preferred_over": None, "given_at": None}

    given = (await ask(f"{path}/feedback", {"rating": 1, "comment": "thanks \N{SNOWMAN}"})).json()
    assert (given["rating"], given["comment"]) == (1, "thanks \N{SNOWMAN}")
    given = (await ask(f"{path}/feedback", {"rating": -1})).json()
    assert (given["rating"], given["comment"]) == (-1, "thanks \N{SNOWMAN}")
    assert (await ask(path)).json()["feedback"] == given
    other = an_exchange()
    await writer.commit(other)
    shown = (await ask("/log/exchanges")).json()["data"]
    assert [one["feedback"]["rating"] for one in shown] == [None, -1]
    assert shown[1]["feedback"] == given

    for name in ("rating", "comment"):
        given = (await ask(f"{path}/feedback", {name: None})).json()
        assert given[name] is None
    assert given == before
    assert await fetch(database_url, "SELECT FROM feedback") == []


async def test_one_branch_is_preferred_to_another(writer: ExchangeWriter, ask: Ask) -> None:
    """Answers after the same exchange, or to the same first question, however its JSON was written."""
    root = an_exchange()
    again = an_exchange(input=b'[{"content":"Hello","role":"user"}]')
    one, other = (an_exchange(conversation_id=root.id, parent_id=root.id) for _ in range(2))
    for exchange in (root, again, one, other):
        await writer.commit(exchange)
    for better, worse in ((one, other), (again, root)):
        answer = await ask(f"/log/exchanges/{better.id}/feedback", {"preferred_over": str(worse.id)})
        assert (answer.status, answer.json()["preferred_over"]) == (200, str(worse.id))


async def test_only_a_sibling_can_be_worse(writer: ExchangeWriter, ask: Ask) -> None:
    """Not the exchange itself, not one from elsewhere, and none that is not there or another's."""
    root, elsewhere = an_exchange(), an_exchange(input=b'[{"role": "user", "content": "Bye"}]')
    child = an_exchange(conversation_id=root.id, parent_id=root.id)
    theirs = an_exchange(caller="them")
    for exchange in (root, elsewhere, child, theirs):
        await writer.commit(exchange)
    for of, worse, status in (
        (root, root.id, 400),
        (root, elsewhere.id, 400),
        (root, child.id, 400),
        (child, root.id, 400),
        (root, uuid7(), 404),
        (root, theirs.id, 404),
    ):
        answer = await ask(f"/log/exchanges/{of.id}/feedback", {"preferred_over": str(worse)})
        assert (answer.status, answer.json()["error"]["param"]) == (status, "preferred_over")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "rating"),
        ({"rating": 2}, "rating"),
        ({"rating": -2}, "rating"),
        ({"rating": True}, "rating"),
        ({"rating": "1"}, "rating"),
        ({"rating": 0.5}, "rating"),
        ({"comment": "x" * 4097}, "comment"),
        ({"comment": "\u0000"}, "comment"),
        ({"comment": "\ud83d"}, "comment"),
        ({"comment": 5}, "comment"),
        ({"preferred_over": "x"}, "preferred_over"),
        ({"stars": 5}, "stars"),
    ],
)
async def test_a_wrong_feedback_names_its_field(
    writer: ExchangeWriter, database_url: str, ask: Ask, body: dict[str, object], param: str
) -> None:
    """And changes nothing."""
    exchange = an_exchange()
    await writer.commit(exchange)
    answer = await ask(f"/log/exchanges/{exchange.id}/feedback", body)
    assert (answer.status, answer.json()["error"]["param"]) == (400, param)
    assert await fetch(database_url, "SELECT FROM feedback") == []


async def test_nobody_has_a_say_on_what_another_was_told(
    writer: ExchangeWriter, repository: ExchangeRepository, ask: Ask
) -> None:
    """It is not there, for a reader as for a writer."""
    theirs = an_exchange(caller="them")
    await writer.commit(theirs)
    for id in (theirs.id, uuid7()):
        answer = await ask(f"/log/exchanges/{id}/feedback", {"rating": 1})
        assert (answer.status, answer.json()["error"]["param"]) == (404, "id")
    feedback = FeedbackRepository(repository)
    assert (await feedback.give("them", theirs.id, {"rating": 1})).rating == 1
    with pytest.raises(ExchangeNotFound):
        await feedback.give("me", theirs.id, {"rating": 1})
    assert (await feedback.of("me", theirs.id)).rating is None


async def test_what_was_deleted_has_no_feedback(
    writer: ExchangeWriter, repository: ExchangeRepository, database_url: str, ask: Ask
) -> None:
    """What was thought of it goes with it, and nothing more is taken."""
    exchange, other = an_exchange(), an_exchange()
    await writer.commit(exchange)
    await writer.commit(other)
    await ask(f"/log/exchanges/{exchange.id}/feedback", {"comment": "it said that I am 42"})
    await Deletion(repository, writer.erase).delete(exchange)
    assert await fetch(database_url, "SELECT FROM feedback") == []
    answer = await ask(f"/log/exchanges/{exchange.id}/feedback", {"rating": 1})
    assert (answer.status, answer.json()["error"]["param"]) == (404, "id")
    answer = await ask(f"/log/exchanges/{other.id}/feedback", {"preferred_over": str(exchange.id)})
    assert (answer.status, answer.json()["error"]["param"]) == (404, "preferred_over")
