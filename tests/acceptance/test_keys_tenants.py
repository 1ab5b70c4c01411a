"""Tenants do not meet: what one has is not there for another, by any way."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import chat
from tests.acceptance.keys import Holder
from tests.fakes.engine import ScriptedEngine

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def alice(admin: Holder) -> Holder:
    return admin.gives("alice")


@pytest.fixture(scope="module")
def colleague(admin: Holder) -> Holder:
    """Another key of the same tenant."""
    return admin.gives("alice", name="laptop")


@pytest.fixture(scope="module")
def bob(admin: Holder) -> Holder:
    return admin.gives("bob")


@pytest.fixture
def things(alice: Holder, engine: ScriptedEngine) -> Iterator[dict[str, str]]:
    """What Alice has: the id of one of each."""
    stored = alice.post(CHAT, chat("stored", store=True)).json
    response = alice.post("/v1/responses", {"model": "zephyr-7b-beta", "input": "hello"}).json
    item = {"type": "message", "role": "user", "content": "said"}
    conversation = alice.post("/v1/conversations", {"items": [item]}).json
    items = alice.get(f"/v1/conversations/{conversation['id']}/items").json
    zephyr = alice.post("/zephyr/python", {"user_message": "hello"}).json
    yield {
        "completion_id": stored["id"],
        "response_id": response["id"],
        "conversation_id": conversation["id"],
        "item_id": items["data"][0]["id"],
        "id": stored["id"],
        "zephyr": zephyr["conversation"],
    }


def ways(things: dict[str, str]) -> list[tuple[str, str, dict[str, Any] | None]]:
    """Every request that names one of these things."""
    completion = f"{CHAT}/{things['completion_id']}"
    response = f"/v1/responses/{things['response_id']}"
    conversation = f"/v1/conversations/{things['conversation_id']}"
    exchange = f"/log/exchanges/{things['id']}"
    item = {"type": "message", "role": "user", "content": "mine"}
    new = {"model": "zephyr-7b-beta", "input": "go on"}
    return [
        ("GET", completion, None),
        ("GET", f"{completion}/messages", None),
        ("POST", completion, {"metadata": {"a": "b"}}),
        ("DELETE", completion, None),
        ("GET", f"{CHAT}?after={things['completion_id']}", None),
        ("GET", response, None),
        ("GET", f"{response}?stream=true", None),
        ("GET", f"{response}/input_items", None),
        ("POST", f"{response}/cancel", None),
        ("DELETE", response, None),
        ("POST", "/v1/responses", new | {"previous_response_id": things["response_id"]}),
        ("POST", "/v1/responses", new | {"conversation": things["conversation_id"]}),
        ("POST", "/v1/responses/input_tokens", new | {"conversation": things["conversation_id"]}),
        (
            "POST",
            "/v1/responses",
            {"model": "zephyr-7b-beta", "input": [{"type": "item_reference", "id": things["item_id"]}]},
        ),
        ("GET", conversation, None),
        ("POST", conversation, {"metadata": {"a": "b"}}),
        ("DELETE", conversation, None),
        ("GET", f"{conversation}/items", None),
        ("POST", f"{conversation}/items", {"items": [item]}),
        ("GET", f"{conversation}/items/{things['item_id']}", None),
        ("DELETE", f"{conversation}/items/{things['item_id']}", None),
        ("POST", f"/log/conversations/{things['zephyr']}", {"title": "mine"}),
        ("DELETE", f"/log/conversations/{things['zephyr']}", None),
        ("GET", exchange, None),
        ("GET", f"/log/exchanges?after={things['id']}", None),
        ("DELETE", exchange, None),
        ("POST", f"{exchange}/feedback", {"rating": 1}),
        ("POST", "/zephyr/python", {"user_message": "go on", "conversation": things["zephyr"]}),
    ]


def test_another_tenants_things_are_not_there(
    bob: Holder, colleague: Holder, things: dict[str, str], engine: ScriptedEngine, exchanges: Exchanges
) -> None:
    """A 404 as of an id that nobody has, and nothing has happened to them. Another key of the tenant has them."""
    engine.forget()
    for method, path, body in ways(things):
        answer = bob.ask(method, path, body)
        assert (answer.status, answer.error["type"]) == (404, "invalid_request_error"), (method, path)
    assert engine.seen == []
    assert colleague.get(f"{CHAT}/{things['completion_id']}").json["metadata"] == {}
    assert colleague.get(f"/v1/responses/{things['response_id']}").status == 200
    assert colleague.get(f"/v1/conversations/{things['conversation_id']}").json["metadata"] == {}
    assert len(colleague.get(f"/v1/conversations/{things['conversation_id']}/items").json["data"]) == 1
    assert colleague.get(f"/log/exchanges/{things['id']}").json["feedback"]["rating"] is None
    found = exchanges.get(things["completion_id"])
    assert (found["caller"], found["deleted_at"]) == ("alice", None)


def test_nothing_tells_another_tenants_things_from_none(bob: Holder, things: dict[str, str]) -> None:
    """The status, every header and every byte are those of an id that nobody has."""
    nobodys = {name: re.sub(r"[0-9a-f]{6}(?=(_[0-9]+)?$)", "abc123", id) for name, id in things.items()}
    assert all(nobodys[name] != id for name, id in things.items())
    for theirs, none in zip(ways(things), ways(nobodys), strict=True):
        assert told(bob, theirs, things) == told(bob, none, nobodys), theirs[:2]


def told(
    holder: Holder, way: tuple[str, str, dict[str, Any] | None], ids: dict[str, str]
) -> tuple[object, ...]:
    """What somebody is told, but for the ids."""
    answer = holder.ask(*way)
    body = answer.body.decode()
    for id in ids.values():
        body = body.replace(id, "ID")
    headers = {name: value for name, value in answer.headers.items() if name != "x-request-id"}
    return answer.status, headers, body


def test_another_tenants_things_are_in_no_list(bob: Holder, things: dict[str, str]) -> None:
    """Of completions, of exchanges, of conversations, of what is found by a word."""
    listed = (
        bob.get(CHAT),
        bob.get("/log/exchanges"),
        bob.get("/v1/conversations"),
        bob.get("/log/search?q=stored"),
    )
    for answer in listed:
        assert (answer.status, answer.json["data"]) == (200, [])


def test_threads_of_two_tenants_do_not_join(
    alice: Holder, bob: Holder, colleague: Holder, engine: ScriptedEngine, exchanges: Exchanges
) -> None:
    """Though they say the same; those of two keys of one tenant do."""
    first = alice.post(CHAT, chat("the same")).json
    said = first["choices"][0]["message"]["content"]
    turns = [
        {"role": "user", "content": "the same"},
        {"role": "assistant", "content": said},
        {"role": "user", "content": "and on"},
    ]
    goes_on = colleague.post(CHAT, {"model": "zephyr-7b-beta", "messages": turns}).json
    begins = bob.post(CHAT, {"model": "zephyr-7b-beta", "messages": turns}).json
    conversation = exchanges.get(first["id"])["conversation_id"]
    assert exchanges.get(goes_on["id"])["conversation_id"] == conversation
    assert exchanges.get(begins["id"])["conversation_id"] != conversation
    assert exchanges.get(begins["id"])["caller"] == "bob"


def test_an_idempotency_key_is_its_tenants(
    alice: Holder, bob: Holder, colleague: Holder, engine: ScriptedEngine
) -> None:
    """The same one with another tenant is another request; with another key of the tenant it is the same."""
    headers = {"idempotency-key": "shared by chance"}
    first = alice.post(CHAT, chat("mine"), **headers)
    theirs = bob.post(CHAT, chat("mine"), **headers)
    again = colleague.post(CHAT, chat("mine"), **headers)
    assert (first.status, theirs.status, again.status) == (200, 200, 200)
    assert "idempotent-replayed" not in theirs.headers
    assert theirs.json["id"] != first.json["id"]
    assert (again.headers["idempotent-replayed"], again.body) == ("true", first.body)
    assert len(engine.seen) == 2


def test_a_kept_answer_needs_the_scope_as_the_first_did(
    admin: Holder, alice: Holder, engine: ScriptedEngine
) -> None:
    """A key that may only read replays nothing."""
    alice.post(CHAT, chat("kept"), **{"idempotency-key": "kept"})
    reader = admin.gives("alice", scopes=["read"])
    answer = reader.post(CHAT, chat("kept"), **{"idempotency-key": "kept"})
    assert (answer.status, answer.error["code"]) == (403, "missing_scope")


def test_who_may_read_all_names_the_tenant(admin: Holder, bob: Holder, things: dict[str, str]) -> None:
    """In the log, and not in OpenAI's own calls."""
    auditor = admin.gives("audit", scopes=["read", "read_all"])
    one = f"/log/exchanges/{things['id']}"
    assert auditor.get(one).status == 404
    assert auditor.get(f"{one}?tenant=alice").json["id"].replace("-", "") == things["id"].removeprefix(
        "chatcmpl-"
    )
    for path in ("/log/exchanges?tenant=alice", "/log/search?q=stored&tenant=alice"):
        assert auditor.get(path).json["data"], path
        refused = bob.get(path)
        assert (refused.status, refused.error["code"]) == (403, "missing_scope"), path
    assert auditor.get("/log/exchanges?tenant=nobody").json["data"] == []
    assert bob.get("/log/exchanges?tenant=bob").status == 200
    assert auditor.get(f"{CHAT}/{things['completion_id']}").status == 404
    assert auditor.get(f"{CHAT}?tenant=alice").status == 400
