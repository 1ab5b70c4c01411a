"""The engine's bytes reach the client unchanged, however they are torn on the way."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.acceptance.gateway import Gateway, chat
from tests.fakes import answers
from tests.fakes.engine import Script, ScriptedEngine

CHUNK = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "scripted-model",
    "choices": [
        {"index": 0, "delta": {"content": "Grüße 🌍 [DONE]"}, "logprobs": None, "finish_reason": None}
    ],
}
LAST = CHUNK | {"choices": [{"index": 0, "delta": {"content": "."}, "finish_reason": "stop"}]}
USAGE = CHUNK | {
    "choices": [],
    "usage": {"prompt_tokens": 3, "total_tokens": 5, "completion_tokens": 2},
}
SAID = answers.event(CHUNK) + b": keep-alive\n\n" + answers.event(LAST)
WHOLE = SAID + answers.event(USAGE) + answers.DONE


def streamed(gateway: Gateway, **fields: object) -> bytes:
    answer = gateway.post("/v1/chat/completions", chat(stream=True, **fields))
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    return answer.body


def test_stream_is_what_the_engine_sent_less_the_usage_nobody_asked_for(
    gateway: Gateway, engine: ScriptedEngine
) -> None:
    engine.script = Script(events=[WHOLE])
    assert streamed(gateway) == SAID + answers.DONE


def test_usage_event_stays_for_those_who_asked(gateway: Gateway, engine: ScriptedEngine) -> None:
    engine.script = Script(events=[WHOLE])
    assert streamed(gateway, stream_options={"include_usage": True}) == WHOLE


def test_every_single_split(gateway: Gateway, engine: ScriptedEngine) -> None:
    """Torn in two at any byte, within a character, within [DONE], the stream stays the same."""
    for cut in range(1, len(WHOLE)):
        engine.script = Script(events=[WHOLE], cuts=(cut,))
        assert streamed(gateway) == SAID + answers.DONE, cut


def test_byte_by_byte(gateway: Gateway, engine: ScriptedEngine) -> None:
    engine.script = Script(events=[WHOLE], cuts=range(len(WHOLE)))
    assert streamed(gateway) == SAID + answers.DONE


@given(
    texts=st.lists(st.text(max_size=20), min_size=1, max_size=6),
    cuts=st.lists(st.integers(1, 2000), max_size=12),
    usage=st.booleans(),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_any_split(
    gateway: Gateway, engine: ScriptedEngine, texts: list[str], cuts: list[int], usage: bool
) -> None:
    """Whatever is said, and however it is torn, the client gets the engine's own bytes."""
    chunks = [
        CHUNK | {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
        for text in texts
    ]
    said = b"".join(answers.event(chunk) for chunk in [*chunks, LAST])
    counted = answers.event(USAGE)
    engine.script = Script(events=[said, counted, answers.DONE], cuts=cuts)
    got = streamed(gateway, stream_options={"include_usage": usage})
    assert got == said + (counted if usage else b"") + answers.DONE


def test_carriage_returns(gateway: Gateway, engine: ScriptedEngine) -> None:
    """Events that end in CRLF CRLF are events too."""
    events = [event.replace(b"\n\n", b"\r\n\r\n") for event in (answers.event(CHUNK), answers.event(LAST))]
    for cuts in ((), range(0, 400, 7)):
        engine.script = Script(events=[*events, b"data: [DONE]\r\n\r\n"], cuts=cuts)
        got = streamed(gateway)
        assert got.startswith(b"".join(events))
        assert got[len(b"".join(events)) :].strip() == b"data: [DONE]"


def test_comments_come_through(gateway: Gateway, engine: ScriptedEngine) -> None:
    """Keep-alive comments before the first token and between tokens reach the client."""
    body = b": keep-alive\n\n" + SAID
    engine.script = Script(events=[b": keep-alive\n\n", SAID, answers.DONE], pause=0.05)
    assert streamed(gateway) == body + answers.DONE


def test_pieces_come_as_they_are_made(gateway: Gateway, engine: ScriptedEngine) -> None:
    """The first piece reaches the client long before the last is made."""
    engine.script = Script(pieces=("a", "b"), pause=0.5)
    with gateway.opened("POST", "/v1/chat/completions", chat(stream=True)) as response:
        response.read1()
        assert engine.one().outcome == "open"


def test_plain_body_is_the_engines_own(gateway: Gateway, engine: ScriptedEngine) -> None:
    """A plain answer is passed on byte for byte, with members that only vLLM knows."""
    asked = answers.Asked(body=chat(), chat=True, request_id="x", created=1)
    body = answers.compact(answers.plain(asked, ["Grüße \u2028 🌍"], "stop", (), 0))
    engine.script = Script(body=body)
    answer = gateway.post("/v1/chat/completions", chat())
    assert answer.body == body
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("stream", [False, True])
def test_huge_answer(gateway: Gateway, engine: ScriptedEngine, stream: bool) -> None:
    """Twelve megabytes of answer come whole."""
    engine.script = Script(pieces=("x" * 4096,) * 3000)
    answer = gateway.post("/v1/chat/completions", chat(stream=stream))
    assert answer.status == 200
    assert answer.body.count(b"x" * 4096) == 3000
    if stream:
        assert answer.body.endswith(answers.DONE)


@pytest.mark.parametrize("stream", [False, True])
def test_connections_to_the_engine_are_kept(gateway: Gateway, engine: ScriptedEngine, stream: bool) -> None:
    """Requests one after the other use one connection, or a second when a look at the engine has the first."""
    for _ in range(10):
        gateway.post("/v1/chat/completions", chat(stream=stream))
    assert len({seen.connection for seen in engine.seen}) <= 2


def test_closed_idle_connections_are_no_errors(gateway: Gateway, engine: ScriptedEngine) -> None:
    """An engine that closes what is not used costs nobody an error."""
    for _ in range(3):
        assert gateway.post("/v1/chat/completions", chat()).status == 200
        engine.close_idle()
    engine.drops_reused_connections = True
    for _ in range(3):
        assert gateway.post("/v1/chat/completions", chat()).status == 200
    assert len(engine.seen) == 6


def test_a_request_that_broke_on_a_fresh_connection_is_not_sent_again(
    gateway: Gateway, engine: ScriptedEngine
) -> None:
    """Nothing is generated twice behind the client's back."""
    engine.close_idle()
    engine.script = Script(raw=b"", ending="close")
    assert gateway.post("/v1/chat/completions", chat()).status == 503
    assert len(engine.seen) == 1


def test_what_is_said_is_read_as_json(gateway: Gateway, engine: ScriptedEngine) -> None:
    """The events of a stream, read by the plain rules of server-sent events, are JSON and one end mark."""
    lines = [line for line in streamed(gateway).split(b"\n\n") if line]
    assert lines.pop() == b"data: [DONE]"
    assert all(json.loads(line.removeprefix(b"data: "))["id"].startswith("chatcmpl-") for line in lines)
