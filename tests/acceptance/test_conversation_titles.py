"""Conversations of any door: renamed, and deleted as a whole."""

from uuid import uuid4

import pytest

from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import Gateway, chat
from tests.fakes.engine import Script, ScriptedEngine


def said(gateway: Gateway, text: str, **fields: object) -> str:
    """Ask, and give back the conversation's id."""
    answer = gateway.post("/zephyr/python", {"user_message": text, **fields})
    assert answer.status == 200, answer.body
    conversation: str = answer.json["conversation"]
    return conversation


def title(gateway: Gateway, conversation: str) -> str | None:
    listed = gateway.get("/v1/conversations?limit=100").json["data"]
    return next((one["title"] for one in listed if one["id"] == conversation), None)


def test_a_title_takes_the_place_of_the_first_words_until_it_is_taken_back(
    gateway: Gateway, engine: ScriptedEngine
) -> None:
    conversation = said(gateway, "First words")
    assert title(gateway, conversation) == "First words"
    path = f"/log/conversations/{conversation}"
    for given in ("Plans", "Other plans"):
        named = gateway.post(path, {"title": given})
        assert named.json == {"object": "conversation", "id": conversation, "title": given}
        assert title(gateway, conversation) == given
    assert gateway.post(path, {"title": None}).status == 200
    assert title(gateway, conversation) == "First words"


@pytest.mark.parametrize("body", [{}, {"title": ""}, {"title": "x" * 201}, {"title": "a\0b"}, {"title": 1}])
def test_a_title_that_is_none_is_refused_by_name(
    gateway: Gateway, engine: ScriptedEngine, body: dict[str, object]
) -> None:
    refused = gateway.post(f"/log/conversations/{said(gateway, 'Hi')}", body)
    assert (refused.status, refused.error["param"]) == (400, "title")


def test_a_conversation_in_which_nothing_was_said_is_not_there(
    gateway: Gateway, engine: ScriptedEngine
) -> None:
    path = f"/log/conversations/{uuid4()}"
    for answer in (gateway.post(path, {"title": "x"}), gateway.request("DELETE", path, None)):
        assert (answer.status, answer.error["param"]) == (404, "id")


def test_deleting_takes_what_was_said_in_all_branches_some_at_a_time(
    gateway: Gateway, engine: ScriptedEngine, exchanges: Exchanges
) -> None:
    """More than one request deletes; nothing of it is listed, and the title has gone as well."""
    conversation = said(gateway, "Very secret")
    lines = b'{"user_message": "again", "conversation": "%b"}\n' % conversation.encode() * 55
    kind = {"content-type": "application/x-ndjson"}
    assert gateway.request("POST", "/zephyr/python", lines, kind).status == 200
    gateway.post(f"/log/conversations/{conversation}", {"title": "Secret title"})
    path = f"/log/conversations/{conversation}"
    first = gateway.request("DELETE", path, None).json
    assert (first["deleted"], first["has_more"]) == (50, True)
    second = gateway.request("DELETE", path, None).json
    assert (second["deleted"], second["has_more"]) == (6, False)
    assert title(gateway, conversation) is None
    left = gateway.get(f"/log/exchanges?conversation={conversation}&limit=100").json["data"]
    assert len(left) == 56
    assert not any(one["input"] or one["answer"] for one in left)
    assert gateway.request("DELETE", path, None).status == 404


def test_a_conversation_begun_by_the_api_goes_as_a_whole(gateway: Gateway, engine: ScriptedEngine) -> None:
    with gateway.openai() as client:
        begun = client.conversations.create()
        client.responses.create(model="zephyr-7b-beta", input="Hello", conversation=begun.id)
    assert gateway.request("DELETE", f"/log/conversations/{begun.id}", None).json["has_more"] is False
    assert gateway.get(f"/v1/conversations/{begun.id}").status == 404


def test_a_branch_goes_on_from_the_exchange_that_it_names(gateway: Gateway, engine: ScriptedEngine) -> None:
    """The first exchange has the id of its conversation: only with its prefix is it the exchange."""
    conversation = said(gateway, "one")
    engine.script = Script(pieces=["Second"])
    said(gateway, "two", conversation=conversation)
    engine.seen.clear()
    said(gateway, "three", conversation=f"chatcmpl-{conversation}")
    assert _told(engine) == ["one", "Hello, world.", "three"]
    engine.seen.clear()
    said(gateway, "four", conversation=conversation)  # goes on from the newest
    assert _told(engine) == ["one", "Hello, world.", "three", "Second", "four"]


def _told(engine: ScriptedEngine) -> list[str]:
    return [message["content"] for message in engine.one().json["messages"][1:]]


def test_chat_requests_are_renamed_like_all_others(gateway: Gateway, engine: ScriptedEngine) -> None:
    word = f"w{uuid4().hex}"
    assert gateway.post("/v1/chat/completions", chat(word)).status == 200
    (one,) = [one for one in gateway.get("/v1/conversations").json["data"] if one["title"] == word]
    assert gateway.post(f"/log/conversations/{one['id']}", {"title": "Named"}).status == 200
    assert title(gateway, one["id"]) == "Named"
