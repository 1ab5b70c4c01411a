"""An answer that breaks never looks complete: an error event in a stream, a 503 for a plain one."""

import json
from typing import Any

import openai
import pytest

from tests.acceptance.gateway import INSIDE, Gateway, chat
from tests.fakes import answers
from tests.fakes.engine import Script, ScriptedEngine


def opening(*more: bytes) -> Script:
    """A stream that begins well and goes on with these events."""
    asked = answers.Asked(body=chat(stream=True), chat=True, request_id="x")
    first, second, *_ = answers.events(asked, ["Hello", ","], "stop", (), 0)
    return Script(events=[first, second, *more])


FINISH = answers.event({"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}]})
BROKEN_STREAMS = {
    "closed": Script(stop_after=3, ending="close"),
    "reset": Script(stop_after=3, ending="reset"),
    "aborted": Script(finish_reason="abort"),
    "finished with an error": Script(finish_reason="error"),
    "ended without the end mark": opening(),
    "finished without the end mark": opening(FINISH),
    "error event": opening(
        answers.event(answers.error(500, "died at /secret/path", type="InternalServerError")), answers.DONE
    ),
    "end mark without a finish": opening(answers.DONE),
    "garbage": opening(b"data: {not json}\n\n", answers.DONE),
    "not even events": opening(b"\x00\xff" * 100),
}


@pytest.mark.parametrize("name", BROKEN_STREAMS)
def test_broken_stream_never_looks_complete(gateway: Gateway, engine: ScriptedEngine, name: str) -> None:
    """A stream that breaks ends with an error event and without the end mark."""
    engine.script = BROKEN_STREAMS[name]
    answer = gateway.post("/v1/chat/completions", chat(stream=True))
    assert answer.status == 200
    assert b"Hello" in answer.body
    assert b"[DONE]" not in answer.body
    assert b'"abort"' not in answer.body
    *_, last = [part for part in answer.body.split(b"\n\n") if part]
    error = json.loads(last.removeprefix(b"data: "))["error"]
    assert error["type"] == "server_error" and error["code"]
    for part in INSIDE:
        assert part not in error["message"]


@pytest.mark.parametrize("name", BROKEN_STREAMS)
def test_sdk_raises_when_a_stream_breaks(gateway: Gateway, engine: ScriptedEngine, name: str) -> None:
    """Nobody who uses the SDK takes a broken stream for a whole one; garbage it may meet before the error."""
    engine.script = BROKEN_STREAMS[name]
    said: Any = [{"role": "user", "content": "hello"}]
    with (
        gateway.openai() as client,
        client.chat.completions.create(model="zephyr-7b-beta", messages=said, stream=True) as stream,
        pytest.raises((openai.APIError, json.JSONDecodeError)),
    ):
        list(stream)


BROKEN_ANSWERS = {
    "closed before the status": Script(raw=b"", ending="close"),
    "reset before the status": Script(raw=b"", ending="reset"),
    "closed in the head": Script(raw=b"HTTP/1.1 200 OK\r\ncontent-le", ending="close"),
    "not HTTP": Script(raw=b"hello, this is not HTTP\r\n\r\n", ending="close"),
    "closed in the body": Script(stop_after=20, ending="close"),
    "reset in the body": Script(stop_after=20, ending="reset"),
    "not JSON": Script(body=b"<html></html>"),
    "other JSON": Script(body=b'{"choices": 5}'),
    "no choices": Script(body=b'{"choices": []}'),
    "deep JSON": Script(body=b"[" * 100_000),
    "aborted": Script(finish_reason="abort"),
    "finished with an error": Script(finish_reason="error"),
    "an error with status 200": Script(body=answers.compact(answers.error(500, "x"))),
}


@pytest.mark.parametrize("name", BROKEN_ANSWERS)
def test_broken_plain_answer_is_a_server_error(gateway: Gateway, engine: ScriptedEngine, name: str) -> None:
    """A plain answer that is not whole is a 503 in shape."""
    engine.script = BROKEN_ANSWERS[name]
    answer = gateway.post("/v1/chat/completions", chat())
    assert answer.status == 503
    assert answer.error["type"] == "server_error"
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize("name", [name for name in BROKEN_ANSWERS if "head" in name or "status" in name])
def test_stream_that_never_begins_is_a_server_error(
    gateway: Gateway, engine: ScriptedEngine, name: str
) -> None:
    """Before its first event a stream fails with a status."""
    engine.script = BROKEN_ANSWERS[name]
    assert gateway.post("/v1/chat/completions", chat(stream=True)).status == 503


def test_empty_stream_is_a_server_error(gateway: Gateway, engine: ScriptedEngine) -> None:
    engine.script = Script(events=[])
    assert gateway.post("/v1/chat/completions", chat(stream=True)).status == 503
