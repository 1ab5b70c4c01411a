"""Items: what is taken, how it is shown, how the model sees it."""

import json
from typing import Any

import msgspec
import pytest
from openai.types.conversations import ConversationItem
from openai.types.responses import ResponseItem
from pydantic import TypeAdapter

from adapters.errors import InvalidRequest
from adapters.responses.items import items_of, messages, numbered_inputs, numbered_outputs, read_input, said

SHOWN: list[TypeAdapter[Any]] = [TypeAdapter(ResponseItem), TypeAdapter(ConversationItem)]
ASSISTANT = {"type": "message", "role": "assistant", "id": "msg_1", "status": "incomplete"}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}", "id": "fc_1"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "42"}


def seen(*items: Any) -> list[dict[str, Any]]:
    """The messages that the model is shown."""
    found: list[dict[str, Any]] = msgspec.to_builtins(messages(items_of(json.dumps(items).encode())))
    return found


def text(*texts: str, type: str = "output_text") -> list[dict[str, str]]:
    return [{"type": type, "text": one} for one in texts]


def test_text_is_a_message_of_the_user() -> None:
    """The short form of an input."""
    assert msgspec.to_builtins(messages(items_of(b'"Hi"'))) == [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([{"role": "developer", "content": "Be brief."}], [{"role": "system", "content": "Be brief."}]),
        (
            [{"role": "user", "content": text("a", "b", type="input_text")}],
            [{"role": "user", "content": "a\nb"}],
        ),
        ([ASSISTANT | {"content": []}], []),
        ([ASSISTANT | {"content": ""}], []),
        ([ASSISTANT | {"content": text("a", "b")}], [{"role": "assistant", "content": "ab"}]),
        (
            [ASSISTANT | {"content": text("a")}, CALL, CALL | {"call_id": "c2"}, OUTPUT],
            [
                {
                    "role": "assistant",
                    "content": "a",
                    "tool_calls": [
                        {"id": id, "function": {"name": "f", "arguments": "{}"}, "type": "function"}
                        for id in ("c1", "c2")
                    ],
                },
                {"role": "tool", "content": "42", "tool_call_id": "c1"},
            ],
        ),
        (
            [OUTPUT | {"output": text("4", "2", type="input_text")}],
            [{"role": "tool", "content": "4\n2", "tool_call_id": "c1"}],
        ),
    ],
    ids=["developer", "parts", "no parts", "no text", "merged", "calls", "output of parts"],
)
def test_what_the_model_sees(items: list[Any], expected: list[Any]) -> None:
    """Each kind of item as a message."""
    assert seen(*items) == expected


def test_call_without_a_text_before_it_is_a_message_of_its_own() -> None:
    """Whatever stands before it."""
    assert [message["role"] for message in seen({"role": "user", "content": "a"}, CALL)] == [
        "user",
        "assistant",
    ]


@pytest.mark.parametrize(
    ("input", "param"),
    [
        (5, "input"),
        ([5], "input[0]"),
        ([{"role": "user", "content": "a"}, {"type": "reasoning", "summary": []}], "input[1].type"),
        ([{"type": "web_search_call", "id": "x"}], "input[0].type"),
        ([{"role": "user"}], "input[0].content"),
        ([{"role": "tool", "content": "a"}], "input[0].role"),
        ([{"role": "user", "content": [{"type": "input_image"}]}], "input[0].content[0].type"),
        ([{"type": "function_call", "call_id": "c", "name": "f"}], "input[0].arguments"),
        ([OUTPUT | {"output": 42}], "input[0].output"),
        ([{"type": 7}], "input[0].type"),
        ([{"type": "item_reference"}], "input[0].id"),
    ],
)
def test_what_is_not_taken_is_named(input: Any, param: str) -> None:
    """By its place."""
    with pytest.raises(InvalidRequest) as caught:
        read_input(json.dumps(input).encode())
    assert caught.value.param == param
    assert caught.value.status == 400


def test_inputs_are_shown_as_the_sdk_knows_them() -> None:
    """Texts become parts, and every item has an id of its own and a status."""
    items = items_of(
        json.dumps(
            [
                {"role": "user", "content": "a"},
                {"role": "system", "content": text("b", "c", type="input_text")},
                ASSISTANT | {"content": "d"},
                CALL,
                OUTPUT,
            ]
        ).encode()
    )
    views = [view for view, _ in numbered_inputs(items, "ab")]
    assert [view["id"] for view in views] == ["msg_ab_0", "msg_ab_1", "msg_ab_2", "fc_ab_3", "fco_ab_4"]
    assert len(views[1]["content"]) == 2
    for view in views:
        for shape in SHOWN:
            assert shape.validate_python(view).id == view["id"]


def test_ids_of_what_was_said_do_not_depend_on_whether_there_is_a_text() -> None:
    """The message's number is kept for it, so that a stream can tell a call's id before the answer is whole."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    for content, expected in (("", ["fc_ab_3"]), ("a", ["msg_ab_2", "fc_ab_3"])):
        items = said(json.dumps([{"content": content, "tool_calls": [call]}]).encode())
        assert [view["id"] for view, _ in numbered_outputs(items, "ab", 2, "completed")] == expected


def test_nothing_said_is_an_empty_message_and_no_answer_is_none() -> None:
    """A model that ends at once has said nothing; an engine that died has not even that."""
    assert [
        view["content"][0]["text"]
        for view, _ in numbered_outputs(said(b'[{"content": ""}]'), "ab", 1, "completed")
    ] == [""]
    assert said(None) == []
