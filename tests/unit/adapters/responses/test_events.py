"""The events of a response: their order is a table, their numbers ascend from 0, their shapes are the SDK's."""

from typing import Any
from uuid import UUID

import msgspec
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from adapters.completions.events import Choice, Chunk, Delta, FunctionDelta, ToolCallDelta
from adapters.errors import Overloaded
from adapters.responses.events import ENDS, Event, Narrator, encoded, framed
from adapters.responses.response import Facts

ID = UUID("0199d9a2-0000-7000-8000-000000000001")
BEFORE = Facts(id=ID, status="in_progress", model="a-model", input=b'"Hi"', parameters=b"{}", metadata=b"{}")
_event: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def text(content: str) -> Chunk:
    return Chunk(choices=[Choice(delta=Delta(content=content))])


def call(index: int, name: str | None = None, arguments: str | None = None) -> Chunk:
    delta = ToolCallDelta(index, f"call_{index}" if name else None, FunctionDelta(name, arguments))
    return Chunk(choices=[Choice(delta=Delta(tool_calls=[delta]))])


def told(chunks: list[Chunk], **end: Any) -> list[Event]:
    narrator = Narrator(BEFORE)
    events = [*narrator.created(BEFORE), *narrator.in_progress(BEFORE)]
    for chunk in chunks:
        events += narrator.tell(chunk)
    return [*events, *narrator.end(msgspec.structs.replace(BEFORE, **end))]


def answer(content: str, *calls: tuple[str, str]) -> bytes:
    said = [
        {"id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for n, (name, arguments) in enumerate(calls)
    ]
    return msgspec.json.encode([{"index": 0, "role": "assistant", "content": content, "tool_calls": said}])


BEGIN = ["response.created", "response.in_progress"]
OPEN = ["response.output_item.added", "response.content_part.added"]
DELTA = "response.output_text.delta"
CLOSE = ["response.output_text.done", "response.content_part.done", "response.output_item.done"]
CALL = ["response.output_item.added", "response.function_call_arguments.delta"]
CALLED = ["response.function_call_arguments.done", "response.output_item.done"]
SAID: list[Chunk] = [text(""), text("He"), text("llo")]
CASES: dict[str, tuple[list[Chunk], dict[str, Any], list[str]]] = {
    "text": (
        SAID,
        {"status": "completed", "answer": answer("Hello")},
        [*BEGIN, *OPEN, DELTA, DELTA, *CLOSE, "response.completed"],
    ),
    "cut off": (
        SAID,
        {"status": "incomplete", "answer": answer("Hello")},
        [*BEGIN, *OPEN, DELTA, DELTA, *CLOSE, "response.incomplete"],
    ),
    "nothing said": (
        [text("")],
        {"status": "completed", "answer": answer("")},
        [*BEGIN, *OPEN, *CLOSE, "response.completed"],
    ),
    "broken": (
        SAID,
        {"status": "failed", "answer": answer("Hello"), "error": Overloaded().detail()},
        [*BEGIN, *OPEN, DELTA, DELTA, "response.failed"],
    ),
    "cancelled": (
        SAID,
        {"status": "cancelled", "answer": answer("Hello")},
        [*BEGIN, *OPEN, DELTA, DELTA, "response.incomplete"],
    ),
    "a call": (
        [call(0, "f"), call(0, None, '{"a":'), call(0, None, "1}")],
        {"status": "completed", "answer": answer("", ("f", '{"a":1}'))},
        [*BEGIN, *CALL, CALL[1], *CALLED, "response.completed"],
    ),
    "text and two calls": (
        [text("Hello"), call(0, "f", "{}"), call(1, "g", "[]")],
        {"status": "completed", "answer": answer("Hello", ("f", "{}"), ("g", "[]"))},
        [*BEGIN, *OPEN, DELTA, *CALL, *CALL, *CLOSE, *CALLED, *CALLED, "response.completed"],
    ),
    "a call and then text": (
        [call(0, "f", "{}"), text("Hello")],
        {"status": "completed", "answer": answer("Hello", ("f", "{}"))},
        [*BEGIN, *CALL, *OPEN, DELTA, *CALLED, *CLOSE, "response.completed"],
    ),
}


@pytest.mark.parametrize(("chunks", "end", "types"), CASES.values(), ids=CASES.keys())
def test_order_of_events(chunks: list[Chunk], end: dict[str, Any], types: list[str]) -> None:
    """Each answer is told in this order, and the last event is the only one that ends it."""
    events = told(chunks, **end)
    assert [event["type"] for event in events] == types
    assert [event["sequence_number"] for event in events] == list(range(len(types)))
    assert [type for type in types if type in ENDS] == types[-1:]


@pytest.mark.parametrize(("chunks", "end", "types"), CASES.values(), ids=CASES.keys())
def test_events_are_those_of_the_sdk(chunks: list[Chunk], end: dict[str, Any], types: list[str]) -> None:
    """The SDK's own types take each event, strictly."""
    for event in told(chunks, **end):
        parsed = _event.validate_json(encoded(event))
        assert parsed.type == event["type"]


@pytest.mark.parametrize(("chunks", "end", "types"), CASES.values(), ids=CASES.keys())
def test_items_are_the_same_in_the_stream_and_in_the_end(
    chunks: list[Chunk], end: dict[str, Any], types: list[str]
) -> None:
    """An item has one id from its first event to the Response, and the same text in both."""
    *events, last = told(chunks, **end)
    whole = Response.model_validate(msgspec.json.decode(encoded(last["response"])))
    done = {e["item"]["id"]: e["item"] for e in events if e["type"] == "response.output_item.done"}
    added = {e["item"]["id"] for e in events if e["type"] == "response.output_item.added"}
    final = {item["id"]: item for item in last["response"]["output"]}
    assert len(whole.output) == len(final)
    assert added == set(final)
    if end["status"] in ("completed", "incomplete"):
        assert done == final
    assert {e["item_id"] for e in events if "item_id" in e} <= added


def test_status_of_a_cut_off_message_is_incomplete() -> None:
    """And the Response says why."""
    last = told(SAID, status="incomplete", answer=answer("Hello"))[-1]["response"]
    assert last["incomplete_details"] == {"reason": "max_output_tokens"}
    assert last["output"][0]["status"] == "incomplete"


def test_background_response_is_queued_first() -> None:
    """It says so after it was created."""
    queued = msgspec.structs.replace(BEFORE, status="queued")
    assert [e["type"] for e in Narrator(queued).created(queued)] == ["response.created", "response.queued"]


def test_error_event() -> None:
    """Its members are the error's; it has no `error`, at which the SDK would raise."""
    (event,) = Narrator(BEFORE).error(Overloaded())
    assert set(event) == {"type", "sequence_number", "code", "message", "param"}
    assert _event.validate_json(encoded(event)).code == "overloaded"


def test_frame() -> None:
    """Each event names its type, as OpenAI's do."""
    assert framed("error", b"{}") == b"event: error\ndata: {}\n\n"
