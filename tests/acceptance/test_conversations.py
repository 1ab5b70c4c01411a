"""Conversations through an unmodified OpenAI SDK client: kept, answered one response at a time, paged, changed."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.conversations import Conversation

from tests.acceptance.conftest import NewGateway
from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import Gateway, read_until
from tests.fakes.answers import ToolCall
from tests.fakes.engine import Script, ScriptedEngine

MODEL = "zephyr-7b-beta"
NOWHERE = "conv_" + "0" * 32


@pytest.fixture
def client(gateway: Gateway) -> Iterator[openai.OpenAI]:
    with gateway.openai() as client:
        yield client


def message(text: str, role: str = "user") -> Any:
    return {"type": "message", "role": role, "content": text}


def texts(client: openai.OpenAI, conversation: Conversation, **query: Any) -> list[str]:
    """The texts of all items, over as many pages as it takes; of a call its arguments."""
    return [text_of(item) for item in client.conversations.items.list(conversation.id, **query)]


def text_of(item: Any) -> str:
    text: str = (
        item.content[0].text if item.type == "message" else getattr(item, "arguments", "") or item.output
    )
    return text


def messages(engine: ScriptedEngine) -> list[tuple[str, Any]]:
    """What the model was shown."""
    return [(m["role"], m.get("content")) for m in engine.seen[-1].json["messages"]]


def test_conversation_in_the_list_of_all(
    client: openai.OpenAI, gateway: Gateway, engine: ScriptedEngine
) -> None:
    """With its own id and metadata, from the first thing said in it; the log knows it by that id too."""
    made = client.conversations.create(metadata={"ticket": "17"})
    said = client.responses.create(model=MODEL, input="What is a listed queue?", conversation=made.id)
    (listed,) = [one for one in gateway.get("/v1/conversations").json["data"] if one["id"] == made.id]
    assert Conversation.model_validate(listed) == Conversation.model_validate(
        listed | {"metadata": {"ticket": "17"}}
    )
    assert (listed["title"], listed["exchanges"]) == ("What is a listed queue?", 1)
    (exchange,) = gateway.get(f"/log/exchanges?conversation={made.id}").json["data"]
    assert "resp_" + exchange["id"].replace("-", "") == said.id
    alone = client.conversations.create()
    assert alone.id not in [one["id"] for one in gateway.get("/v1/conversations?limit=100").json["data"]]


def test_conversation_itself(client: openai.OpenAI, engine: ScriptedEngine) -> None:
    """Created, read, labelled anew, deleted."""
    made = client.conversations.create(metadata={"a": "b"})
    assert made.id.startswith("conv_") and made.metadata == {"a": "b"}
    assert abs(made.created_at - time.time()) < 5
    assert client.conversations.retrieve(made.id) == made
    assert client.conversations.update(made.id, metadata={"c": "d"}).metadata == {"c": "d"}
    assert client.conversations.update(made.id, metadata=None).metadata == {}
    assert client.conversations.delete(made.id).deleted
    for call in (client.conversations.retrieve, client.conversations.delete, client.conversations.items.list):
        for id in (made.id, NOWHERE, "nothing"):
            with pytest.raises(openai.NotFoundError):
                call(id)
    for id in (made.id, NOWHERE):
        with pytest.raises(openai.NotFoundError):
            client.responses.create(model=MODEL, input="Hi", conversation=id)
    assert engine.seen == []


def test_responses_become_part_of_it(
    client: openai.OpenAI, engine: ScriptedEngine, exchanges: Exchanges
) -> None:
    """Input and output are appended when a response has completed, plain and streamed, stored or not; what was said
    before comes before."""
    conversation = client.conversations.create(items=[message("Be brief.", "developer")])
    first = client.responses.create(
        model=MODEL, input="one", instructions="Only now.", conversation=conversation.id
    )
    assert messages(engine) == [("system", "Only now."), ("system", "Be brief."), ("user", "one")]
    assert first.conversation and first.conversation.id == conversation.id
    assert first.previous_response_id is None
    *_, last = client.responses.create(
        model=MODEL, input="two", conversation={"id": conversation.id}, stream=True, store=False
    )
    assert last.type == "response.completed"
    client.conversations.items.create(conversation.id, items=[message("three")])
    client.responses.create(model=MODEL, input="four", conversation=conversation.id)
    answer = "Hello, world."
    expected = ["Be brief.", "one", answer, "two", answer, "three", "four", answer]
    assert [content for _, content in messages(engine)] == expected[:-1]
    assert texts(client, conversation, order="asc") == expected
    assert texts(client, conversation) == expected[::-1]
    logged = exchanges.get(first.id.removeprefix("resp_"))
    assert str(logged["conversation_id"]).replace("-", "") == conversation.id.removeprefix("conv_")
    assert logged["input"] == "one"
    counted = client.responses.input_tokens.count(model=MODEL, input="x", conversation=conversation.id)
    assert counted.input_tokens > 20


def test_what_fails_is_not_appended(client: openai.OpenAI, engine: ScriptedEngine) -> None:
    """Nor what is refused, or whose client leaves; and the conversation is free again at once."""
    conversation = client.conversations.create()
    engine.script = Script(stop_after=3, ending="reset")
    *_, last = client.responses.create(model=MODEL, input="one", conversation=conversation.id, stream=True)
    assert last.type == "response.failed"
    with pytest.raises(openai.InternalServerError):
        client.responses.create(model=MODEL, input="two", conversation=conversation.id)
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model=MODEL, input=[], conversation=conversation.id)
    assert texts(client, conversation) == []
    engine.script = Script()
    client.responses.create(model=MODEL, input="three", conversation=conversation.id)
    assert texts(client, conversation, order="asc") == ["three", "Hello, world."]


def test_client_that_leaves_frees_the_conversation(
    gateway: Gateway, client: openai.OpenAI, engine: ScriptedEngine
) -> None:
    """Within a moment."""
    conversation = client.conversations.create()
    engine.script = Script(pieces=("word ",) * 1000, pause=0.02)
    body = {"input": "one", "stream": True, "conversation": conversation.id}
    with gateway.send(body, "/v1/responses") as one:
        read_until(one, b"output_text.delta")
    engine.one().wait(2.0)
    engine.script = Script()
    client.with_options(max_retries=5).responses.create(
        model=MODEL, input="two", conversation=conversation.id
    )
    assert texts(client, conversation, order="asc") == ["two", "Hello, world."]


def test_items(client: openai.OpenAI, engine: ScriptedEngine) -> None:
    """Added, listed by pages, read one by one and deleted, whoever made them."""
    conversation = client.conversations.create(items=[message(f"first {n}") for n in range(20)])
    client.responses.create(model=MODEL, input=[message("a"), message("b")], conversation=conversation.id)
    added = client.conversations.items.create(
        conversation.id, items=[message(f"last {n}") for n in range(20)]
    )
    assert [text_of(item) for item in added.data] == [f"last {n}" for n in range(20)]
    assert (added.first_id, added.last_id, added.has_more) == (added.data[0].id, added.data[-1].id, False)
    everything = [
        *(f"first {n}" for n in range(20)),
        *("a", "b", "Hello, world."),
        *(f"last {n}" for n in range(20)),
    ]
    for limit in (1, 2, 3, 7, 21, 43, 100):
        assert texts(client, conversation, limit=limit, order="asc") == everything
        assert texts(client, conversation, limit=limit, order="desc") == everything[::-1]
    page = client.conversations.items.list(conversation.id)
    assert len(page.data) == 20 and page.has_more and page.last_id == page.data[-1].id
    items = list(client.conversations.items.list(conversation.id, order="asc", limit=100))
    for item in (items[0], items[20], items[22]):
        assert client.conversations.items.retrieve(item.id, conversation_id=conversation.id) == item  # type: ignore[arg-type]
        left = client.conversations.items.delete(item.id, conversation_id=conversation.id)  # type: ignore[arg-type]
        assert left.id == conversation.id
        with pytest.raises(openai.NotFoundError):
            client.conversations.items.retrieve(item.id, conversation_id=conversation.id)  # type: ignore[arg-type]
        with pytest.raises(openai.NotFoundError):
            client.conversations.items.list(conversation.id, after=item.id)  # type: ignore[arg-type]
    expected = [text for text in everything if text not in ("first 0", "a", "Hello, world.")]
    assert texts(client, conversation, order="asc", limit=2) == expected
    client.responses.create(model=MODEL, input="now", conversation=conversation.id)
    assert [content for _, content in messages(engine)] == [*expected, "now"]
    other = client.conversations.create()
    with pytest.raises(openai.NotFoundError):
        client.conversations.items.retrieve(items[5].id, conversation_id=other.id)  # type: ignore[arg-type]


def test_bad_items_are_refused_and_none_is_added(client: openai.OpenAI, engine: ScriptedEngine) -> None:
    """By their places; and no more than twenty at once."""
    conversation = client.conversations.create()
    for items, param in (
        ([message("x")] * 21, "items"),
        ([], "items"),
        ([message("x"), {"type": "reasoning", "summary": []}], "items[1].type"),
        ([message("x"), {"type": "item_reference", "id": "msg_nothing"}], "items[1].id"),
    ):
        with pytest.raises(openai.APIStatusError) as caught:
            client.conversations.items.create(conversation.id, items=items)
        assert caught.value.status_code in (400, 404)
        assert caught.value.param == param
    with pytest.raises(openai.BadRequestError):
        client.conversations.create(items=[message("x")] * 21)
    with pytest.raises(openai.BadRequestError):
        client.conversations.create(metadata={"a": "x" * 513})
    assert texts(client, conversation) == []


def test_tools_go_round_in_a_conversation(client: openai.OpenAI, engine: ScriptedEngine) -> None:
    """The call stays in it, and its output comes in the next response."""
    conversation = client.conversations.create()
    engine.script = Script(tool_calls=[ToolCall(name="weather", arguments="{}")])
    tools: Any = [{"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}]
    asked = client.responses.create(model=MODEL, input="Weather?", conversation=conversation.id, tools=tools)
    engine.script = Script()
    output: Any = {"type": "function_call_output", "call_id": asked.output[0].call_id, "output": "sunny"}  # type: ignore[union-attr]
    client.responses.create(model=MODEL, input=[output], conversation=conversation.id, tools=tools)
    assert [m["role"] for m in engine.seen[-1].json["messages"]] == ["user", "assistant", "tool"]
    kinds = [item.type for item in client.conversations.items.list(conversation.id, order="asc")]
    assert kinds == ["message", "function_call", "function_call_output", "message"]


def test_previous_response_of_a_conversation(client: openai.OpenAI, engine: ScriptedEngine) -> None:
    """It goes on from what that response saw, and outside of the conversation."""
    conversation = client.conversations.create(items=[message("zero")])
    first = client.responses.create(model=MODEL, input="one", conversation=conversation.id)
    client.responses.create(model=MODEL, input="two", conversation=conversation.id)
    aside = client.responses.create(model=MODEL, input="aside", previous_response_id=first.id)
    seen = ["zero", "one", "Hello, world.", "aside"]
    assert [content for _, content in messages(engine)] == seen
    client.responses.create(model=MODEL, input="further", previous_response_id=aside.id)
    assert [content for _, content in messages(engine)] == [*seen, "Hello, world.", "further"]
    assert texts(client, conversation, order="asc") == [
        "zero",
        "one",
        "Hello, world.",
        "two",
        "Hello, world.",
    ]
    client.conversations.delete(conversation.id)
    client.responses.create(model=MODEL, input="after", previous_response_id=first.id)
    assert [content for _, content in messages(engine)] == ["one", "Hello, world.", "after"]
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(
            model=MODEL, input="x", previous_response_id=first.id, conversation=conversation.id
        )
    assert caught.value.param == "previous_response_id"


def test_deleted_response_leaves_its_conversation(client: openai.OpenAI, engine: ScriptedEngine) -> None:
    """Its text is nowhere any more."""
    conversation = client.conversations.create()
    first = client.responses.create(model=MODEL, input="one", conversation=conversation.id)
    client.responses.create(model=MODEL, input="two", conversation=conversation.id)
    client.responses.delete(first.id)
    assert texts(client, conversation, order="asc") == ["two", "Hello, world."]


def test_one_response_at_a_time(
    client: openai.OpenAI, engine: ScriptedEngine, new_gateway: NewGateway
) -> None:
    """While a conversation is answered nothing else is added, from here or from another gateway; afterwards it is."""
    conversation = client.conversations.create()
    engine.scripts["slow"] = Script(pieces=("word ",) * 12, pause=0.1)
    with new_gateway() as other, other.openai() as elsewhere:
        slow: Any = client.responses.create(
            model=MODEL, input="slow", conversation=conversation.id, stream=True
        )
        next(iter(slow))
        for one in (client, elsewhere):
            with pytest.raises(openai.ConflictError) as caught:
                one.responses.create(model=MODEL, input="fast", conversation=conversation.id)
            assert caught.value.code == "conversation_locked"
            with pytest.raises(openai.ConflictError):
                one.conversations.items.create(conversation.id, items=[message("fast")])
            with pytest.raises(openai.ConflictError):
                one.conversations.delete(conversation.id)
            with pytest.raises(openai.ConflictError):
                one.responses.create(model=MODEL, input="fast", conversation=conversation.id, background=True)
        *_, last = slow
        assert last.type == "response.completed"
        elsewhere.responses.create(model=MODEL, input="fast", conversation=conversation.id)
    assert texts(client, conversation, order="asc") == ["slow", "word " * 12, "fast", "Hello, world."]


async def test_turns_never_interleave(
    gateway: Gateway, engine: ScriptedEngine, new_gateway: NewGateway
) -> None:
    """Twelve clients at two gateways answer one conversation: each saw all that stands before it."""
    with new_gateway() as other:
        async with (
            openai.AsyncOpenAI(base_url=gateway.url + "/v1", api_key="none", max_retries=30) as here,
            openai.AsyncOpenAI(base_url=other.url + "/v1", api_key="none", max_retries=30) as there,
        ):
            conversation = await here.conversations.create()

            async def turn(number: int) -> None:
                client = (here, there)[number % 2]
                await client.responses.create(
                    model=MODEL, input=f"turn {number}", conversation=conversation.id
                )

            await asyncio.gather(*(turn(number) for number in range(12)))
            listed = here.conversations.items.list(conversation.id, order="asc", limit=100)
            said = [text_of(item) async for item in listed]
    assert len(said) == 24
    assert said[1::2] == ["Hello, world."] * 12
    assert sorted(said[::2]) == sorted(f"turn {number}" for number in range(12))
    for seen in engine.seen:
        shown = [m["content"] for m in seen.json["messages"]]
        assert shown == said[: len(shown)]


def test_gateway_that_dies_frees_its_conversation(
    client: openai.OpenAI, engine: ScriptedEngine, new_gateway: NewGateway
) -> None:
    """When its lease is over, and not before."""
    conversation = client.conversations.create()
    engine.script = Script(pieces=("word ",) * 1000, pause=0.02)
    with new_gateway(ZEPHYR_RESPONSE_LEASE="1") as gateway:
        body = {"input": "one", "stream": True, "conversation": conversation.id}
        with gateway.send(body, "/v1/responses") as one:
            read_until(one, b"output_text.delta")
            gateway.kill()
    engine.script = Script()
    with pytest.raises(openai.ConflictError):
        client.responses.create(model=MODEL, input="two", conversation=conversation.id)
    client.with_options(max_retries=10).responses.create(
        model=MODEL, input="two", conversation=conversation.id
    )
    assert texts(client, conversation, order="asc") == ["two", "Hello, world."]


def test_background_response_in_a_conversation(client: openai.OpenAI, engine: ScriptedEngine) -> None:
    """It holds the conversation until it has ended."""
    conversation = client.conversations.create()
    engine.script = Script(pieces=("word ",) * 8, pause=0.1)
    made = client.responses.create(model=MODEL, input="one", conversation=conversation.id, background=True)
    with pytest.raises(openai.ConflictError):
        client.responses.create(model=MODEL, input="two", conversation=conversation.id)
    while client.responses.retrieve(made.id).status != "completed":
        time.sleep(0.05)
    engine.script = Script()
    client.with_options(max_retries=5).responses.create(
        model=MODEL, input="two", conversation=conversation.id
    )
    assert texts(client, conversation, order="asc") == ["one", "word " * 8, "two", "Hello, world."]
