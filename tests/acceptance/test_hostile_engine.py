"""An engine, or what stands before it, that answers oddly: no caller gets another's text, nothing is lost."""

import json
import time

import openai
import pytest

from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import Gateway, chat
from tests.fakes.engine import Script, ScriptedEngine

_ANSWER = json.dumps(
    {
        "id": "chatcmpl-x",
        "object": "chat.completion",
        "created": 1,
        "model": "scripted-model",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "for Alice"}, "finish_reason": "stop"}
        ],
    }
).encode()
_WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(_ANSWER), _ANSWER)
_DELTA = b'data: {"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}\n\n'
_STOP = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
_DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    "early", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"]
)
def test_an_announcement_is_not_the_answer(gateway: Gateway, engine: ScriptedEngine, early: bytes) -> None:
    """What comes after a 1xx is the answer of the one who asked."""
    engine.scripts["alice"] = Script(raw=early + _WHOLE, cuts=[len(early)], pause=0.1)
    assert (
        gateway.post("/v1/chat/completions", chat("alice")).json["choices"][0]["message"]["content"]
        == "for Alice"
    )
    assert "Alice" not in gateway.post("/v1/chat/completions", chat("bob")).body.decode()


def test_bytes_after_an_answer_are_nobodys(gateway: Gateway, engine: ScriptedEngine) -> None:
    """A second answer that nobody asked for is not given to whoever asks next."""
    engine.scripts["first"] = Script(raw=_WHOLE + _WHOLE)
    assert gateway.post("/v1/chat/completions", chat("first")).status == 200
    time.sleep(0.1)
    assert "Alice" not in gateway.post("/v1/chat/completions", chat("second")).body.decode()


def test_a_protocol_switch_is_a_broken_engine(gateway: Gateway, engine: ScriptedEngine) -> None:
    """It is a 503 like any other break, and no crash."""
    switch = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"
    engine.scripts["switch"] = Script(raw=switch)
    assert gateway.post("/v1/chat/completions", chat("switch")).status == 503


@pytest.mark.parametrize("garbage", [b"data: garbage\n\n", b"data: [1]\n\n"])
def test_events_that_mean_nothing_break_the_stream(
    gateway: Gateway, engine: ScriptedEngine, exchanges: Exchanges, garbage: bytes
) -> None:
    """A stream with what the log cannot hold never looks complete."""
    engine.scripts["garbage"] = Script(events=[_DELTA, garbage, _STOP, _DONE])
    answer = gateway.post("/v1/chat/completions", chat("garbage", stream=True))
    assert b"[DONE]" not in answer.body
    assert b'"error"' in answer.body
    assert exchanges.get(answer.headers["x-request-id"])["outcome"] == "failed"


def test_text_after_the_end_mark_is_not_logged(
    gateway: Gateway, engine: ScriptedEngine, exchanges: Exchanges
) -> None:
    """The log has exactly what the client got."""
    engine.scripts["after"] = Script(events=[_DELTA + _STOP + _DONE + _DELTA])
    answer = gateway.post("/v1/chat/completions", chat("after", stream=True))
    assert answer.body.count(b'"hi"') == 1
    assert exchanges.get(answer.headers["x-request-id"])["answer"][0]["content"] == "hi"


def test_a_choice_that_never_came_is_missed(gateway: Gateway, engine: ScriptedEngine) -> None:
    """Two choices were asked for, one came: the stream is not complete."""
    engine.scripts["two"] = Script(events=[_DELTA, _STOP, _DONE])
    answer = gateway.post("/v1/chat/completions", chat("two", stream=True, n=2))
    assert b"[DONE]" not in answer.body


def test_invalid_text_in_a_member_that_is_dropped_is_refused(
    gateway: Gateway, engine: ScriptedEngine
) -> None:
    """The log could not hold it, so nothing is generated."""
    body = b'{"messages":[{"role":"user","content":"hi","x":"\xff"}]}'
    answer = gateway.post("/v1/chat/completions", body, **{"content-type": "application/json"})
    assert answer.status == 400
    assert answer.error["code"] == "invalid_json"
    assert engine.seen == []


@pytest.mark.parametrize("depth", [65, 600, 900])
def test_a_schema_that_is_nested_too_deeply_names_its_field(gateway: Gateway, depth: int) -> None:
    """However deep, with a marker to be broken in it or not, it is the caller's mistake."""
    nested: object = "</s>"
    for _ in range(depth):
        nested = [nested]
    tool = {"type": "function", "function": {"name": "f", "parameters": {"a": nested}}}
    answer = gateway.post("/v1/chat/completions", chat(tools=[tool]))
    assert answer.status == 400
    assert answer.error["param"] == "tools"


def test_a_marker_split_over_parts_stays_split(gateway: Gateway, engine: ScriptedEngine) -> None:
    """Parts reach the engine as one text, joined where no marker can come of it."""
    parts = [{"type": "text", "text": "a<"}, {"type": "text", "text": "/s>"}]
    gateway.openai().chat.completions.create(
        model="zephyr-7b-beta",
        messages=[{"role": "user", "content": parts}],  # type: ignore[misc,list-item]
    )
    assert engine.seen[-1].json["messages"][0]["content"] == "a<\n/s>"


def test_a_name_with_a_line_break_is_refused(gateway: Gateway) -> None:
    """A pattern's end is the text's end."""
    tool = {"type": "function", "function": {"name": "f\n"}}
    with pytest.raises(openai.BadRequestError):
        gateway.openai().chat.completions.create(
            model="zephyr-7b-beta",
            messages=[{"role": "user", "content": "x"}],
            tools=[tool],  # type: ignore[list-item]
        )
