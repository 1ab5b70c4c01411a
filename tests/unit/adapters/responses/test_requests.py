"""What is taken of a request for a response, and what the engine is asked instead."""

import json
from typing import Any

import msgspec
import pytest
from openai.types.responses import Response

from adapters.access.reading import read
from adapters.completions.requests import Message
from adapters.conversations.exchange import Outcome
from adapters.errors import Cancelled, InvalidRequest, ShuttingDown
from adapters.responses.ids import conversation_id, id_after, item_id_of, own_id, response_id
from adapters.responses.requests import ResponseRequest, check_chat
from adapters.responses.response import facts_of, response
from adapters.settings import RequestSettings
from tests.records import an_exchange

_decoder = msgspec.json.Decoder(ResponseRequest)
USER = Message(role="user", content="Hi")
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
TOOL = {"type": "function", "name": "f", "parameters": SCHEMA, "strict": True}


def asked(**fields: Any) -> ResponseRequest:
    request = read(_decoder, json.dumps(fields).encode())
    request.check()
    return request


def chat(**fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(asked(**fields).chat([USER]))
    return found


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"instructions": "Be brief."},
            {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]},
        ),
        ({"max_output_tokens": 7}, {"max_completion_tokens": 7}),
        ({"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5, "top_p": 0.9}),
        ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
        (
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": SCHEMA, "strict": True},
                }
            },
        ),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "name": "f"}, "parallel_tool_calls": False},
            {
                "tools": [
                    {"type": "function", "function": {"name": "f", "parameters": SCHEMA, "strict": True}}
                ],
                "tool_choice": {"type": "function", "function": {"name": "f"}},
                "parallel_tool_calls": False,
            },
        ),
        ({"tool_choice": "auto", "parallel_tool_calls": True}, {}),
        ({"reasoning": {"effort": "high"}, "service_tier": "flex", "truncation": "disabled"}, {}),
        ({"include": ["reasoning.encrypted_content"], "prompt_cache_key": "k", "user": "u"}, {}),
        ({"store": False}, {"store": False}),
    ],
)
def test_what_the_engine_is_asked(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """Each field in the words of chat completions; those without effect are not passed on."""
    plain = {"messages": [{"role": "user", "content": "Hi"}], "store": True}
    assert chat(**fields) == plain | expected


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"moderation": {}}, "moderation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [TOOL | {"async": True}]}, "tools[0].async"),
        ({"truncation": "auto"}, "truncation"),
        ({"conversation": "conv_1", "previous_response_id": "resp_1"}, "previous_response_id"),
        ({"background": True, "store": False}, "store"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
        ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.name"),
        ({"temperature": 3}, "temperature"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"metadata": {"a": 1}}, "metadata[...]"),
    ],
)
def test_what_is_not_taken_is_named(fields: dict[str, Any], param: str) -> None:
    """As a 400."""
    with pytest.raises(InvalidRequest) as caught:
        asked(**fields)
    assert (caught.value.param, caught.value.status) == (param, 400)


def test_bounds_are_told_in_the_words_of_this_api() -> None:
    """A setting of chat completions bounds a response too."""
    settings = RequestSettings(max_messages=1, max_schema_bytes=1024)  # type: ignore[call-arg]
    long = {"type": "json_schema", "name": "n", "schema": {"description": "x" * 2000}}
    for request, said, param in (
        (asked(), [], "input"),
        (asked(), [USER, USER], "input"),
        (asked(text={"format": long}), [USER], "text.format"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            check_chat(request.chat(said), settings)
        assert caught.value.param == param


def test_null_is_the_same_as_leaving_out() -> None:
    """Of every field."""
    nothing = dict.fromkeys(ResponseRequest.__struct_fields__)
    assert chat(**nothing) == chat()
    assert asked(**nothing).written == b"[]"


@pytest.mark.parametrize(
    ("outcome", "error", "status"),
    [
        (Outcome.COMPLETED, None, "completed"),
        (Outcome.LENGTH, None, "incomplete"),
        (Outcome.FAILED, InvalidRequest("x").detail(), "failed"),
        (Outcome.CANCELLED, ShuttingDown().detail(), "failed"),
        (Outcome.CANCELLED, Cancelled().detail(), "cancelled"),
        (Outcome.CLIENT_GONE, Cancelled().detail(), "cancelled"),
    ],
)
def test_response_says_what_became_of_it(outcome: Outcome, error: bytes | None, status: str) -> None:
    """In the SDK's own terms, and never better than it was."""
    parameters = asked(
        instructions="Be brief.",
        tools=[TOOL],
        temperature=0.5,
        background=True,
        conversation={"id": "conv_1"},
    ).parameters()
    exchange = an_exchange(outcome=outcome, error=error, parameters=parameters, metadata=b'{"a": "b"}')
    shown = response(facts_of(exchange))
    found = Response.model_validate(msgspec.json.decode(msgspec.json.encode(shown)))
    assert found.status == status
    assert (found.error is not None) == (status == "failed")
    assert (found.completed_at is not None) == (status == "completed")
    assert (found.incomplete_details is not None) == (status == "incomplete")
    assert found.id == f"resp_{exchange.id.hex}"
    assert (found.model, found.instructions, found.temperature) == ("a-model", "Be brief.", 0.5)
    assert found.metadata == {"a": "b"}
    assert found.conversation and found.conversation.id == "conv_1"
    assert found.usage and found.usage.total_tokens == 11
    assert found.output_text == "Hi"
    assert found.tools[0].type == "function" and found.tools[0].name == "f"


def test_ids() -> None:
    """What we make we know again, and nothing else."""
    id = an_exchange().id
    assert own_id(response_id(id), "resp") == own_id(conversation_id(id), "conv") == id
    for bad in (conversation_id(id), id.hex, "resp_", f"resp_{id}", f"resp_{id.hex}0", "resp_\n"):
        assert own_id(bad, "resp") is None
    item = item_id_of(f"msg_{id.hex}_12")
    assert item and (item.of, item.number) == (id, 12)
    assert item_id_of(f"fc_{id.hex}") and not item_id_of(f"rs_{id.hex}_1")


def test_ids_of_a_conversation_ascend_whatever_the_clocks_say() -> None:
    """A clock that is behind gives no id that would sort before what was said."""
    older, newer = an_exchange().id, an_exchange().id
    assert id_after(older, newer) == newer
    assert id_after(newer, older) > newer
    assert id_after(None, older) == older
