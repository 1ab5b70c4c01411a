"""Stored chat completions, with an unmodified OpenAI SDK."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion
from uuid_utils.compat import uuid7

from tests.acceptance.conftest import NewGateway, migrate
from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import Gateway
from tests.databases import other_database, rows
from tests.fakes.answers import ToolCall
from tests.fakes.engine import Script, ScriptedEngine

MODEL = "zephyr-7b-beta"
TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def said(text: str = "hello") -> Any:
    return [{"role": "user", "content": text}]


@pytest.fixture(scope="module")
def store(postgres_url: str) -> Exchanges:
    """A database of this file's own, in which nothing else is stored."""
    rows(postgres_url, "CREATE DATABASE stored")
    url = other_database(postgres_url, "stored")
    migrate(url)
    return Exchanges(url)


@pytest.fixture(scope="module")
def _gateway(new_gateway: NewGateway, store: Exchanges) -> Iterator[Gateway]:
    with new_gateway(DATABASE_URL=store.url) as gateway:
        yield gateway


@pytest.fixture
def gateway(_gateway: Gateway, engine: ScriptedEngine, store: Exchanges) -> Gateway:
    """A gateway whose log is empty, in front of a well engine."""
    store.sql("TRUNCATE exchanges")
    return _gateway


@pytest.fixture
def client(gateway: Gateway) -> Iterator[openai.OpenAI]:
    with gateway.openai() as client:
        yield client


def create(client: openai.OpenAI, messages: Any = None, **fields: Any) -> ChatCompletion:
    completion: ChatCompletion = client.chat.completions.create(
        model=MODEL, messages=messages or said(), store=True, **fields
    )
    return completion


def told(completion: ChatCompletion) -> object:
    """What was answered and counted, without vLLM's empty members."""
    return completion.model_dump(exclude_none=True, include={"choices", "usage"})


def test_retrieved_as_it_was_created(client: openai.OpenAI) -> None:
    """The same id, choices, usage and fingerprint; and what was asked for."""
    metadata = {"ticket": "17", "café": "crème"}
    created = create(client, metadata=metadata, temperature=0.5, seed=7, n=2, user="u")
    found = client.chat.completions.retrieve(created.id)
    assert (found.id, found.model) == (created.id, created.model)
    assert [choice.index for choice in found.choices] == [0, 1]
    assert told(found) == told(created)
    assert (found.system_fingerprint, found.object) == (created.system_fingerprint, "chat.completion")
    assert abs(found.created - created.created) <= 1
    extra: Any = found
    assert extra.metadata == metadata
    assert (extra.temperature, extra.seed, extra.input_user) == (0.5, 7, "u")


def test_tools_come_back(client: openai.OpenAI, engine: ScriptedEngine) -> None:
    engine.script = Script(tool_calls=(ToolCall(name="weather", arguments='{"city": "Bern"}'),))
    created = create(client, tools=[TOOL], tool_choice="auto")
    found: Any = client.chat.completions.retrieve(created.id)
    assert found.choices[0].finish_reason == "tool_calls"
    assert found.choices[0].message.tool_calls == created.choices[0].message.tool_calls
    assert found.choices[0].message.content is None
    assert (found.tools, found.tool_choice) == ([TOOL], "auto")


def test_a_streamed_answer_is_stored_too(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model=MODEL, messages=said(), store=True, stream=True))
    found = client.chat.completions.retrieve(chunks[0].id)
    assert found.choices[0].message.content == "Hello, world."
    assert found.choices[0].finish_reason == "stop"
    assert found.usage and found.usage.completion_tokens == 4
    (message,) = client.chat.completions.messages.list(chunks[0].id)
    assert (message.role, message.content) == ("user", "hello")


def test_what_was_not_to_be_stored_is_not_there(
    gateway: Gateway, client: openai.OpenAI, engine: ScriptedEngine
) -> None:
    """Neither what was not asked for, nor what broke, nor what the older endpoint made."""
    plain = client.chat.completions.create(model=MODEL, messages=said())
    older = client.completions.create(model=MODEL, prompt="Once", extra_body={"store": True})
    engine.script = Script(finish_reason="abort")
    with pytest.raises(openai.APIError):
        create(client)
    assert list(client.chat.completions.list()) == []
    for id in (plain.id, older.id, older.id.replace("cmpl", "chatcmpl"), "chatcmpl-1", "nothing", "a/b"):
        check_absent(client, id)


def check_absent(client: openai.OpenAI, id: str) -> None:
    for ask in (
        lambda: client.chat.completions.retrieve(id),
        lambda: client.chat.completions.update(id, metadata={"a": "b"}),
        lambda: client.chat.completions.delete(id),
        lambda: client.chat.completions.messages.list(id),
    ):
        with pytest.raises(openai.NotFoundError) as caught:
            ask()
        if "/" not in id:
            assert (caught.value.code, caught.value.param) == ("not_found", "completion_id")


def test_what_another_has_stored_is_not_there(client: openai.OpenAI, store: Exchanges) -> None:
    created = create(client)
    store.sql("UPDATE exchanges SET caller = 'another'")
    mine = create(client)
    check_absent(client, created.id)
    assert [one.id for one in client.chat.completions.list()] == [mine.id]
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.list(after=created.id)
    assert caught.value.param == "after"
    assert store.now(created.id) is not None


def test_listing_page_by_page(client: openai.OpenAI) -> None:
    """The SDK reads on by itself; the oldest come first unless the newest are asked for."""
    ids = [create(client, metadata={"even": str(n % 2 == 0)}).id for n in range(7)]
    listed = client.chat.completions.list(limit=3)
    assert (len(listed.data), listed.has_more) == (3, True)
    assert [one.id for one in listed] == ids
    assert [one.id for one in client.chat.completions.list(limit=3, order="desc")] == ids[::-1]
    assert [one.id for one in client.chat.completions.list(after=ids[3])] == ids[4:]
    assert [one.id for one in client.chat.completions.list(after=ids[3], order="desc")] == ids[2::-1]
    even = client.chat.completions.list(limit=1, metadata={"even": "True"})
    assert [one.id for one in even] == ids[::2]
    assert list(client.chat.completions.list(metadata={"even": "True", "odd": "True"})) == []
    assert [one.id for one in client.chat.completions.list(metadata=None)] == ids
    assert len(list(client.chat.completions.list(model="scripted-model"))) == 7
    assert list(client.chat.completions.list(model="another")) == []


async def test_the_async_client(gateway: Gateway) -> None:
    async with openai.AsyncOpenAI(base_url=gateway.url + "/v1", api_key="none", max_retries=0) as client:
        completions = client.chat.completions
        ids = [
            (await completions.create(model=MODEL, messages=said(), store=True, metadata={"n": str(n)})).id
            for n in range(5)
        ]
        assert [one.id async for one in completions.list(limit=2)] == ids
        assert [one.id async for one in completions.list(metadata={"n": "3"})] == [ids[3]]
        updated: Any = await completions.update(ids[3], metadata={"m": "4"})
        assert updated.metadata == {"m": "4"}
        assert [one.content async for one in completions.messages.list(ids[0])] == ["hello"]
        assert (await completions.delete(ids[0])).deleted
        with pytest.raises(openai.NotFoundError):
            await completions.retrieve(ids[0])


def test_metadata_is_replaced_and_cleared(client: openai.OpenAI) -> None:
    created = create(client, metadata={"a": "1", "b": "2"})
    updated: Any = client.chat.completions.update(created.id, metadata={"c": "3"})
    assert updated == client.chat.completions.retrieve(created.id)
    assert (updated.metadata, told(updated)) == ({"c": "3"}, told(created))
    assert list(client.chat.completions.list(metadata={"a": "1"})) == []
    assert [one.id for one in client.chat.completions.list(metadata={"c": "3"})] == [created.id]
    cleared: Any = client.chat.completions.update(created.id, metadata=None)
    assert cleared.metadata == {}


def test_messages_of_a_conversation(client: openai.OpenAI, engine: ScriptedEngine) -> None:
    """All that the last request said, though the log has each message once, and one turn was not to be stored."""
    history: Any = [{"role": "system", "content": "Be brief."}]
    for turn, store in (("one", True), ("two", False), ("three", True)):
        history.append({"role": "user", "content": turn})
        engine.script = Script(pieces=(f"answer {turn}",))
        last = client.chat.completions.create(model=MODEL, messages=history, store=store)
        history.append({"role": "assistant", "content": last.choices[0].message.content})
    found: list[Any] = list(client.chat.completions.messages.list(last.id, limit=2))
    assert [{"role": one.role, "content": one.content} for one in found] == history[:-1]
    assert [one.id for one in found] == [f"{last.id}-{n}" for n in range(6)]
    assert all(one.content_parts is None for one in found)
    backwards = client.chat.completions.messages.list(last.id, limit=4, order="desc")
    assert [one.id for one in backwards] == [one.id for one in found[::-1]]
    rest = client.chat.completions.messages.list(last.id, after=found[3].id)
    assert [one.content for one in rest] == ["answer two", "three"]
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.messages.list(last.id, after=f"{last.id}-6")
    assert caught.value.param == "after"


def test_content_in_parts_comes_back_in_parts(client: openai.OpenAI) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    created = create(client, [{"role": "user", "content": parts}])
    (message,) = client.chat.completions.messages.list(created.id)
    assert message.content is None
    assert [part.model_dump(exclude_none=True) for part in message.content_parts or ()] == parts


def test_deleted_is_gone(gateway: Gateway, client: openai.OpenAI, store: Exchanges) -> None:
    """From this API, from every column of the database and from the spool; what it took is still accounted for."""
    secret = "xyzzy-the-secret"
    created = create(client, said(secret), metadata={"note": secret}, user=secret, stop=[secret])
    kept = create(client, said("kept"))
    assert secret in json.dumps(store.sql("SELECT e::text FROM exchanges e"))
    gone = client.chat.completions.delete(created.id)
    assert gone.model_dump() == {"id": created.id, "object": "chat.completion.deleted", "deleted": True}
    check_absent(client, created.id)
    assert [one.id for one in client.chat.completions.list()] == [kept.id]
    assert [one.id for one in client.chat.completions.list(after=created.id)] == [kept.id]
    assert secret not in json.dumps(store.sql("SELECT e::text FROM exchanges e"))
    spool = gateway.log.parent / "spool"
    assert list(spool.iterdir())
    assert not [file for file in spool.iterdir() if secret.encode() in file.read_bytes()]
    (row,) = store.sql("SELECT * FROM exchanges WHERE deleted_at IS NOT NULL")
    assert (row["prompt_tokens"], row["completion_tokens"], row["model"]) == (3, 4, "scripted-model")
    shown = gateway.get(f"/log/exchanges/{created.id}").json
    assert (shown["input"], shown["answer"], shown["outcome"]) == (None, None, "completed")
    assert shown["deleted_at"]


def test_everything_can_be_deleted_while_it_is_listed(client: openai.OpenAI) -> None:
    """The place to go on from is the last of a page, which then is deleted already."""
    for _ in range(5):
        create(client)
    deleted = [client.chat.completions.delete(one.id).id for one in client.chat.completions.list(limit=2)]
    assert len(deleted) == 5
    assert list(client.chat.completions.list()) == []


def test_a_turn_that_is_deleted_is_left_out_of_what_followed(client: openai.OpenAI) -> None:
    first = create(client, said("one"))
    history = [*said("one"), {"role": "assistant", "content": "Hello, world."}, *said("two")]
    second = create(client, history)
    client.chat.completions.delete(first.id)
    assert [one.content for one in client.chat.completions.messages.list(second.id)] == ["two"]
    assert told(client.chat.completions.retrieve(second.id)) == told(second)


def test_the_log_deletes_what_was_not_stored_as_well(gateway: Gateway, store: Exchanges) -> None:
    """Also what another endpoint made; again changes nothing; another's, and what is not there, is not found."""
    made = gateway.post("/zephyr/python", {"user_message": "xyzzy-the-secret"})
    path = f"/log/exchanges/{made.json['id']}"
    for _ in range(2):
        answer = gateway.request("DELETE", path, None)
        assert (answer.status, answer.json) == (
            200,
            {"object": "exchange.deleted", "id": made.json["id"], "deleted": True},
        )
    assert "xyzzy" not in json.dumps(store.sql("SELECT e::text FROM exchanges e"))
    assert [one["deleted_at"] is None for one in gateway.get("/log/exchanges").json["data"]] == [False]
    store.sql("UPDATE exchanges SET caller = 'another'")
    for missing in (path, f"/log/exchanges/{uuid7()}"):
        answer = gateway.request("DELETE", missing, None)
        assert (answer.status, answer.error["param"]) == (404, "id")


@pytest.mark.parametrize(
    ("query", "status", "param"),
    [
        ("limit=0", 400, "limit"),
        ("limit=101", 400, "limit"),
        ("limit=x", 400, "limit"),
        ("order=up", 400, "order"),
        ("model=%00", 400, "model"),
        ("after=chatcmpl-1", 404, "after"),
        ("after=chatcmpl-01900000000070008000000000000000", 404, "after"),
        ("after=", 404, "after"),
        ("before=x", 400, "before"),
        ("metadata=x", 400, "metadata"),
        ("metadata[a]=" + 513 * "x", 400, "metadata"),
        (f"metadata[{65 * 'x'}]=a", 400, "metadata"),
        ("&".join(f"metadata[{n}]=a" for n in range(17)), 400, "metadata"),
    ],
)
def test_a_bad_list_names_what_is_wrong(gateway: Gateway, query: str, status: int, param: str) -> None:
    answer = gateway.get(f"/v1/chat/completions?{query}")
    assert (answer.status, answer.error["param"]) == (status, param)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "metadata"),
        ({"metadata": {"a": 1}}, "metadata[...]"),
        ({"metadata": [], "a": 1}, "metadata"),
        ({"metadata": None, "model": "x"}, "model"),
        ({"metadata": {"a": 513 * "x"}}, "metadata[...]"),
        ({"metadata": {65 * "a": "x"}}, "metadata"),
        ({"metadata": {str(n): "x" for n in range(17)}}, "metadata"),
    ],
)
def test_a_bad_update_names_what_is_wrong(
    gateway: Gateway, client: openai.OpenAI, body: dict[str, Any], param: str
) -> None:
    created = create(client, metadata={"a": "1"})
    answer = gateway.post(f"/v1/chat/completions/{created.id}", body)
    assert (answer.status, answer.error["param"]) == (400, param)
    found: Any = client.chat.completions.retrieve(created.id)
    assert found.metadata == {"a": "1"}


def test_bad_messages_and_bad_bodies(gateway: Gateway, client: openai.OpenAI) -> None:
    path = f"/v1/chat/completions/{create(client).id}"
    for query in ("limit=0", "order=up", "other=1"):
        answer = gateway.get(f"{path}/messages?{query}")
        assert (answer.status, answer.error["param"]) == (400, query.partition("=")[0])
    assert gateway.post(path, b"{", **{"content-type": "application/json"}).status == 400
    assert gateway.post(path, b'{"metadata": null}').status == 415
    other = gateway.request("PUT", "/v1/chat/completions", None)
    assert (other.status, other.headers["allow"]) == (405, "POST, GET")


def test_odd_metadata_is_kept_as_it_is(client: openai.OpenAI) -> None:
    """Whatever texts there are: none of them breaks a query."""
    odd = {"a[b]": "1", "\0": "\0", "%": "' OR 1=1 --", "": "", "\N{GRINNING FACE}": "]=&"}
    created = create(client, metadata=odd)
    found: Any = client.chat.completions.retrieve(created.id)
    assert found.metadata == odd
    for key, value in odd.items():
        assert [one.id for one in client.chat.completions.list(metadata={key: value})] == [created.id], key
