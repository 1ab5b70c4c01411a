"""The transcript puts together what the model said, from a stream or a plain answer alike."""

import json
import tracemalloc
from typing import Any

import pytest

from adapters.completions import events
from adapters.completions.transcript import Transcript
from adapters.errors import GatewayError
from tests.fakes import answers
from tests.fakes.answers import Asked, ToolCall

LIMIT = 10**6
CALLS = (ToolCall(name="a", arguments='{"x": 1}'), ToolCall(name="b", arguments="{}"))


def heard(
    pieces: list[str], *, stream: bool, calls: tuple[ToolCall, ...] = (), **fields: object
) -> Transcript:
    """What a transcript makes of vLLM's answer."""
    body: dict[str, Any] = {"messages": [], "stream_options": {"include_usage": True}} | fields
    asked = Asked(body=body, chat="prompt" not in fields, request_id="x")
    transcript = Transcript(LIMIT)
    if stream:
        for event in answers.events(asked, pieces, "stop", calls, 7):
            transcript.add(event)
        transcript.read()
    else:
        transcript.add_chunk(events.decode(answers.compact(answers.plain(asked, pieces, "stop", calls, 7))))
    return transcript


def logged(transcript: Transcript) -> list[dict[str, Any]]:
    answer: list[dict[str, Any]] = json.loads(transcript.answer() or b"[]")
    return answer


@pytest.mark.parametrize("stream", [False, True])
def test_text_usage_and_fingerprint(stream: bool) -> None:
    transcript = heard(["Grüße", " ", "🌍"], stream=stream)
    assert transcript.text == "Grüße 🌍"
    assert transcript.complete(1) and transcript.finish_reason == "stop"
    assert transcript.fingerprint == answers.FINGERPRINT
    assert transcript.usage and transcript.usage.completion_tokens == 3
    assert transcript.usage.prompt_tokens_details
    assert transcript.usage.prompt_tokens_details.cached_tokens == 7


@pytest.mark.parametrize("stream", [False, True])
def test_several_choices_are_kept_apart(stream: bool) -> None:
    assert [choice["content"] for choice in logged(heard(["a", "b"], stream=stream, n=3))] == ["ab"] * 3


@pytest.mark.parametrize("stream", [False, True])
def test_tool_calls_are_put_together(stream: bool) -> None:
    (choice,) = logged(heard([], stream=stream, calls=CALLS))
    functions = [call["function"] for call in choice["tool_calls"]]
    assert functions == [{"name": "a", "arguments": '{"x": 1}'}, {"name": "b", "arguments": "{}"}]
    assert choice["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("stream", [False, True])
def test_completions_are_heard_too(stream: bool) -> None:
    assert heard(["a", "b"], stream=stream, prompt="x").text == "ab"


def test_nothing_said_is_no_answer() -> None:
    assert Transcript(LIMIT).answer() is None
    assert not Transcript(LIMIT).complete(1)


def test_a_choice_without_an_end_is_not_complete() -> None:
    """Also when the other choice has ended."""
    transcript = Transcript(LIMIT)
    transcript.add(
        answers.event({"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]})
    )
    transcript.add(
        answers.event({"choices": [{"index": 1, "delta": {"content": "b"}, "finish_reason": None}]})
    )
    transcript.read()
    assert not transcript.complete(1)


@pytest.mark.parametrize("reason", ["abort", "error"])
def test_an_aborted_choice_is_not_complete(reason: str) -> None:
    transcript = Transcript(LIMIT)
    transcript.add(answers.event({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}))
    transcript.read()
    assert not transcript.complete(1)


def test_an_answer_is_bounded() -> None:
    transcript = Transcript(100_000)
    with pytest.raises(GatewayError):
        for _ in range(3):
            transcript.add(answers.event({"choices": [], "x": "y" * 70_000}))


def test_a_long_answer_is_kept_as_its_text() -> None:
    """Neither its events nor its tokens one by one: a thousand such answers at once are to fit."""
    asked = Asked(body={"messages": []}, chat=True, request_id="x")
    pieces = [f" {number:05}" for number in range(10_000)]
    transcript = Transcript(10**7)
    tracemalloc.start()
    try:
        for event in answers.events(asked, pieces, "stop", (), 7):
            transcript.add(bytes(bytearray(event)))  # a copy that the transcript alone holds
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    transcript.read()
    assert transcript.text == "".join(pieces)
    assert held < len(transcript.text) + 48 * 1024
