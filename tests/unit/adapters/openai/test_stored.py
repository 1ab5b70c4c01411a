"""Stored chat completions in OpenAI's shapes."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionStoreMessage

from adapters.conversations.errors import ExchangeNotFound
from adapters.conversations.exchange import Exchange, deleted
from adapters.conversations.repository import Page
from adapters.openai import stored
from tests.records import an_exchange

ID = UUID("019ab1a2-b3c4-7d5e-8f90-a1b2c3d4e5f6")
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bern"}'}}


def completion(**changes: Any) -> Any:
    return json.loads(msgspec.json.encode(stored.completion(an_exchange(**changes))))


def messages(*branch: Exchange) -> Any:
    return json.loads(msgspec.json.encode(stored.messages(branch)))


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


def choice(index: int = 0, content: str = "Hi", **others: object) -> dict[str, object]:
    return {"index": index, "role": "assistant", "content": content, "finish_reason": "stop"} | others


def test_a_completion_is_what_was_answered() -> None:
    found = completion(
        id=ID,
        started_at=datetime(2026, 11, 25, 12, tzinfo=UTC),
        model="a-model",
        fingerprint="engine-1",
        cached_tokens=3,
        metadata=b'{"ticket": "17"}',
        parameters=encoded({"temperature": 0.5, "seed": 7, "top_k": 40, "user": "u", "store": True}),
        answer=encoded([choice(), choice(1, "Ho", reasoning="hm", finish_reason="length")]),
    )
    assert found == {
        "id": "chatcmpl-019ab1a2b3c47d5e8f90a1b2c3d4e5f6",
        "object": "chat.completion",
        "created": 1795608000,
        "model": "a-model",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            },
            {
                "index": 1,
                "message": {"role": "assistant", "content": "Ho", "refusal": None, "reasoning": "hm"},
                "logprobs": None,
                "finish_reason": "length",
            },
        ],
        "usage": {
            "prompt_tokens": 9,
            "completion_tokens": 2,
            "total_tokens": 11,
            "prompt_tokens_details": {"cached_tokens": 3},
        },
        "system_fingerprint": "engine-1",
        "metadata": {"ticket": "17"},
        "request_id": ID.hex,
        "input_user": "u",
        "temperature": 0.5,
        "seed": 7,
        "top_p": None,
        "presence_penalty": None,
        "frequency_penalty": None,
        "tools": None,
        "tool_choice": None,
        "response_format": None,
        "service_tier": None,
    }
    ChatCompletion.model_validate(found, strict=True)
    stored.StoredCompletion.model_validate(found)


def test_a_completion_that_calls_says_nothing() -> None:
    """Null, where the log has an empty text; a text beside a call stays."""
    for content, shown in (("", None), ("Let me see.", "Let me see.")):
        found = completion(answer=encoded([choice(content=content, tool_calls=[CALL])]))
        message = found["choices"][0]["message"]
        assert (message["content"], message["tool_calls"]) == (shown, [CALL])
    assert completion(answer=encoded([choice(content="")]))["choices"][0]["message"]["content"] == ""


def test_tokens_that_nobody_counted_are_not_told() -> None:
    assert completion(prompt_tokens=None)["usage"] is None
    assert "prompt_tokens_details" not in completion()["usage"]


def test_odd_texts_come_out_as_they_were_written() -> None:
    """Escapes, NUL and numbers that no program can hold."""
    odd = rb'[{"role":"user","content":"\u0000 \ud83d\ude00 caf\u00e9"}]'
    exchange = an_exchange(input=odd, parameters=rb'{"seed": 123456789012345678901234567890}')
    assert rb'"\u0000 \ud83d\ude00 caf\u00e9"' in msgspec.json.encode(stored.messages([exchange]))
    assert b"123456789012345678901234567890" in msgspec.json.encode(stored.completion(exchange))


def test_messages_are_those_of_the_whole_request() -> None:
    """What was said before, the answers that were gone on from, and what is new; numbered."""
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    first = an_exchange(
        input=encoded([{"role": "system", "content": "S"}, {"role": "user", "content": parts}]),
        answer=encoded([choice(content="", tool_calls=[CALL]), choice(1, "other")]),
    )
    second = an_exchange(
        id=ID,
        input=encoded([{"role": "tool", "tool_call_id": "c1", "content": "sunny"}]),
        answer=encoded([choice(content="It is sunny.")]),
    )
    found = messages(first, second)
    id = f"chatcmpl-{ID.hex}"
    assert found == [
        {"id": f"{id}-0", "role": "system", "content": "S", "content_parts": None},
        {"id": f"{id}-1", "role": "user", "content": None, "content_parts": parts},
        {
            "id": f"{id}-2",
            "role": "assistant",
            "content": "",
            "content_parts": None,
            "tool_calls": [CALL],
        },
        {
            "id": f"{id}-3",
            "role": "tool",
            "content": "sunny",
            "content_parts": None,
            "tool_call_id": "c1",
        },
    ]
    for message in found:
        stored.StoredMessage.model_validate(message)
    ChatCompletionStoreMessage.model_validate(found[2], strict=True)


def test_of_a_deleted_exchange_nothing_is_shown() -> None:
    first, second, third = (an_exchange(input=encoded([{"role": "user", "content": one}])) for one in "abc")
    found = messages(first, deleted(second, datetime.now(UTC)), third)
    assert [message["content"] for message in found] == ["a", "Hi", "c"]


@pytest.mark.parametrize("input", [b'"Once"', b'["Once"]'])
def test_a_prompt_is_what_a_user_said(input: bytes) -> None:
    """A conversation may have begun at `/v1/completions`."""
    found = messages(an_exchange(input=input), an_exchange())
    assert [(one["role"], one["content"]) for one in found] == [
        ("user", "Once"),
        ("assistant", "Hi"),
        ("user", "Hello"),
    ]


def test_pages_of_messages() -> None:
    said = encoded([{"role": "user", "content": str(place)} for place in range(5)])
    every = stored.messages([an_exchange(id=ID, input=said)])
    ids = [message["id"] for message in every]
    for ascending, expected in ((True, ids), (False, ids[::-1])):
        read: list[str] = []
        more = True
        while more:
            after = read[-1] if read else None
            page = json.loads(stored.messages_json(every, after=after, limit=2, ascending=ascending))
            here = [message["id"] for message in page["data"]]
            assert (page["object"], page["first_id"], page["last_id"]) == ("list", here[0], here[-1])
            read += here
            more = page["has_more"]
        assert read == expected
    end = json.loads(stored.messages_json(every, after=ids[-1], limit=2, ascending=True))
    assert end == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    for unknown in (f"chatcmpl-{ID.hex}-5", f"chatcmpl-{ID.hex}", "", f"chatcmpl-{ID.hex}-00"):
        with pytest.raises(ExchangeNotFound) as caught:
            stored.messages_json(every, after=unknown, limit=2, ascending=True)
        assert caught.value.param == "after"


def test_a_page_of_completions() -> None:
    exchanges = [an_exchange(), an_exchange()]
    page = json.loads(stored.completions_json(Page(exchanges=exchanges, has_more=True)))
    ids = [f"chatcmpl-{exchange.id.hex}" for exchange in exchanges]
    assert [item["id"] for item in page["data"]] == ids
    assert (page["first_id"], page["last_id"], page["has_more"]) == (ids[0], ids[1], True)
    stored.StoredCompletions.model_validate(page)


def test_only_the_id_that_was_given_out_is_one() -> None:
    """One completion has one id: no other way of writing it is taken."""
    assert stored.exchange_id(f"chatcmpl-{ID.hex}", param="x") == ID
    for text in (
        *("", "chatcmpl-", "nothing", ID.hex, str(ID), f"chatcmpl-{ID}", f"chatcmpl-{ID.hex.upper()}"),
        *(f"chatcmpl-{{{ID.hex}}}", f"chatcmpl-chatcmpl-{ID.hex}", f"cmpl-{ID.hex}", "chatcmpl-\0"),
    ):
        with pytest.raises(ExchangeNotFound) as caught:
            stored.exchange_id(text, param="x")
        assert caught.value.param == "x"
