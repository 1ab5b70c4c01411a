"""The scripted engine is itself held to what it promises, because the acceptance tests believe it."""

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.fakes import answers
from tests.fakes.answers import Json, ToolCall
from tests.fakes.engine import Script, ScriptedEngine, refusal

HELLO: Json = {"model": "scripted-model", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def engine() -> Iterator[ScriptedEngine]:
    with ScriptedEngine() as engine:
        yield engine


@contextlib.contextmanager
def connection(engine: ScriptedEngine) -> Iterator[http.client.HTTPConnection]:
    one = http.client.HTTPConnection(engine.url.removeprefix("http://"), timeout=5)
    try:
        yield one
    finally:
        one.close()


def chat(one: http.client.HTTPConnection, **fields: Any) -> http.client.HTTPResponse:
    headers = {"content-type": "application/json", "x-request-id": "abc"}
    one.request("POST", "/v1/chat/completions", json.dumps(HELLO | fields), headers)
    return one.getresponse()


def data(body: bytes) -> list[Json]:
    return [json.loads(part.removeprefix(b"data: ")) for part in body.split(b"\n\n")[:-2]]


def test_plain_answer_has_the_text_the_id_and_the_usage(engine: ScriptedEngine) -> None:
    with connection(engine) as one:
        answer = json.loads(chat(one).read())
    assert answer["id"] == "chatcmpl-abc"
    assert answer["choices"][0]["message"]["content"] == "Hello, world."
    assert answer["usage"]["completion_tokens"] == 4
    assert engine.one().wait() == "completed"
    assert engine.one().headers["x-request-id"] == "abc"
    assert engine.one().json == HELLO


def test_stream_has_vllms_events_in_vllms_order(engine: ScriptedEngine) -> None:
    with connection(engine) as one:
        body = chat(one, stream=True, stream_options={"include_usage": True}).read()
    assert body.endswith(answers.DONE)
    opening, *deltas, last, usage = data(body)
    assert opening["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [chunk["choices"][0]["delta"]["content"] for chunk in deltas] == ["Hello", ", ", "world", "."]
    assert last["choices"][0]["finish_reason"] == "stop"
    assert usage["choices"] == [] and usage["usage"]["completion_tokens"] == 4
    assert usage["system_fingerprint"] == answers.FINGERPRINT


def test_usage_event_comes_only_when_asked_for(engine: ScriptedEngine) -> None:
    with connection(engine) as one:
        *_, last = data(chat(one, stream=True).read())
    assert "usage" not in last
    assert last["system_fingerprint"] == answers.FINGERPRINT


def test_openai_sdk_reads_every_shape(engine: ScriptedEngine) -> None:
    call = ToolCall(name="weather", arguments='{"city":"Bern"}')
    engine.scripts["tools"] = Script(tool_calls=(call,))
    with openai.OpenAI(base_url=engine.url + "/v1", api_key="none", max_retries=0) as client:
        several = client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "x"}], n=2, logprobs=True
        )
        tools = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "tools"}])
        text = client.completions.create(model="m", prompt=["a", "b"])
        models = client.models.list()
    assert [choice.index for choice in several.choices] == [0, 1]
    assert several.choices[0].logprobs and several.choices[0].logprobs.content
    assert tools.choices[0].finish_reason == "tool_calls"
    assert tools.choices[0].message.tool_calls and tools.choices[0].message.tool_calls[0].id
    assert [choice.text for choice in text.choices] == ["Hello, world."] * 2
    assert [model.id for model in models] == ["scripted-model"]


def test_prompt_text_is_returned_when_asked_for(engine: ScriptedEngine) -> None:
    with connection(engine) as one:
        plain = json.loads(chat(one, return_prompt_text=True).read())
        streamed = data(chat(one, return_prompt_text=True, stream=True).read())
    assert plain["prompt_text"] == "<|user|>\nhello</s>\n<|assistant|>\n"
    assert streamed[0]["prompt_text"] == plain["prompt_text"]


def test_refusal_has_vllms_shape(engine: ScriptedEngine) -> None:
    engine.script = refusal(400, "too long", param="input_tokens")
    with connection(engine) as one:
        answer = chat(one)
        body = json.loads(answer.read())
    assert answer.status == 400
    error = {"message": "too long", "type": "BadRequestError", "param": "input_tokens", "code": 400}
    assert body == {"error": error}


def test_script_is_chosen_by_the_last_text(engine: ScriptedEngine) -> None:
    engine.scripts["hello"] = Script(pieces=("chosen",))
    with connection(engine) as one:
        assert json.loads(chat(one).read())["choices"][0]["message"]["content"] == "chosen"


def test_cuts_tear_the_same_bytes_into_other_pieces(engine: ScriptedEngine) -> None:
    engine.script = Script(events=[b"data: a\n\n", answers.DONE], cuts=(3, 12))
    with connection(engine) as one:
        answer = chat(one, stream=True)
        pieces = [answer.read1(), answer.read1(), answer.read1()]
    assert pieces == [b"dat", b"a: a\n\ndat", b"a: [DONE]\n\n"]


@pytest.mark.parametrize("ending", ["close", "reset"])
def test_stream_can_die_in_the_middle(engine: ScriptedEngine, ending: Any) -> None:
    engine.script = Script(stop_after=2, ending=ending)
    with connection(engine) as one, pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        chat(one, stream=True).read()
    assert engine.one().wait() == "broken"


def test_plain_body_can_die_in_the_middle(engine: ScriptedEngine) -> None:
    engine.script = Script(stop_after=10, ending="close")
    with connection(engine) as one, pytest.raises(http.client.IncompleteRead):
        chat(one).read()


def test_raw_bytes_are_sent_as_they_are(engine: ScriptedEngine) -> None:
    engine.script = Script(raw=b"not HTTP at all\r\n\r\n", ending="close")
    with connection(engine) as one, pytest.raises(http.client.BadStatusLine):
        chat(one)


@pytest.mark.parametrize(
    "script", [Script(stop_after=1, ending="hang"), Script(silence=60), Script(pause=60)]
)
def test_leaving_is_noticed_at_once(engine: ScriptedEngine, script: Script) -> None:
    engine.script = script
    with connection(engine) as one:
        one.request("POST", "/v1/chat/completions", json.dumps(HELLO | {"stream": True}))
        seen = engine.one()
        time.sleep(0.05)
        assert seen.outcome == "open" and engine.running == 1
        left = time.monotonic()
    assert seen.wait() == "aborted"
    assert seen.ended - left < 0.2


def test_slow_reader_holds_the_engine_back(engine: ScriptedEngine) -> None:
    engine.script = Script(events=(b"data: " + b"x" * 65536 + b"\n\n" for _ in range(1000)))
    with connection(engine) as one:
        chat(one, stream=True)
        time.sleep(0.3)
        assert engine.one().sent_bytes < 20 * 2**20
    assert engine.one().wait() == "aborted"


def test_reused_connection_can_be_dropped(engine: ScriptedEngine) -> None:
    engine.drops_reused_connections = True
    with connection(engine) as one:
        chat(one).read()
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            chat(one)
    assert len(engine.seen) == 1


def test_idle_connections_can_be_closed(engine: ScriptedEngine) -> None:
    with connection(engine) as one:
        chat(one).read()
        engine.one().wait()
        engine.close_idle()
        assert one.sock.recv(1) == b""


def test_stopped_engine_refuses_and_comes_back_at_the_same_address(engine: ScriptedEngine) -> None:
    engine.script = Script(stop_after=1, ending="hang")
    with connection(engine) as one:
        answer = chat(one, stream=True)
        engine.stop()
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            answer.read()
    host, port = engine.url.removeprefix("http://").split(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))
    engine.start()
    socket.create_connection((host, int(port))).close()


def test_it_listens_on_a_unix_socket_too(tmp_path: Path) -> None:
    with ScriptedEngine(tmp_path / "engine.sock") as engine, socket.socket(socket.AF_UNIX) as one:
        one.connect(engine.url.removeprefix("unix:"))
        one.sendall(b"GET /health HTTP/1.1\r\nhost: engine\r\n\r\n")
        assert one.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/tokenizer_info", "/health"])
def test_side_routes_answer(engine: ScriptedEngine, path: str) -> None:
    with connection(engine) as one:
        one.request("GET", path)
        assert one.getresponse().status == 200


def test_metrics_count_what_was_generated(engine: ScriptedEngine) -> None:
    with connection(engine) as one:
        chat(one).read()
        one.request("GET", "/metrics")
        text = one.getresponse().read().decode()
    assert 'vllm:generation_tokens_total{engine="0",model_name="scripted-model"} 4.0' in text
