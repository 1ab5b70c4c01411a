"""Every exchange is in the database as what it was, and before the client is told that it is complete."""

import json
from typing import Any

import pytest

from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import Answer, Gateway, chat, read_until
from tests.fakes import answers
from tests.fakes.answers import ToolCall
from tests.fakes.engine import Script, ScriptedEngine, refusal


def ask(gateway: Gateway, body: dict[str, object], path: str = "/v1/chat/completions") -> Answer:
    return gateway.post(path, body)


def test_plain_answer_is_recorded_when_it_is_seen(
    gateway: Gateway, engine: ScriptedEngine, exchanges: Exchanges
) -> None:
    """When the body has come, the row is there: no waiting, no second look."""
    engine.script = Script(cached_tokens=3)
    answer = ask(gateway, chat("Grüße", temperature=0.5, metadata={"ticket": "17"}, user="u"))
    found = exchanges.now(answer.json["id"])
    assert found is not None
    assert found["outcome"] == "completed"
    assert found["door"] == "openai"
    assert found["endpoint"] == "/v1/chat/completions"
    assert found["model"] == "scripted-model"
    assert found["fingerprint"] == answers.FINGERPRINT
    assert found["input"] == [{"role": "user", "content": "Grüße"}]
    assert found["parameters"]["temperature"] == 0.5
    assert found["metadata"] == {"ticket": "17"}
    assert found["answer"] == [
        {"index": 0, "role": "assistant", "content": "Hello, world.", "finish_reason": "stop"}
    ]
    assert found["finish_reason"] == "stop"
    assert found["error"] is None
    assert (found["prompt_tokens"], found["cached_tokens"], found["completion_tokens"]) == (3, 3, 4)
    assert found["total_ms"] > 0
    assert found["conversation_id"] == found["id"]


def test_stream_is_recorded_before_its_end_mark(
    gateway: Gateway, engine: ScriptedEngine, exchanges: Exchanges
) -> None:
    """At the moment `data: [DONE]` is there, the row is there, with the usage that the client did not ask for."""
    with gateway.send(chat(stream=True)) as one:
        got = read_until(one, b"data: [DONE]")
        found = exchanges.now(got.partition(b'"id":"')[2].partition(b'"')[0].decode())
    assert found is not None
    assert found["outcome"] == "completed"
    assert found["answer"][0]["content"] == "Hello, world."
    assert found["completion_tokens"] == 4
    assert found["fingerprint"] == answers.FINGERPRINT
    assert 0 < found["first_token_ms"] <= found["total_ms"]


def test_request_id_names_the_exchange(
    gateway: Gateway, engine: ScriptedEngine, exchanges: Exchanges
) -> None:
    """The header that the client can quote finds the exchange, also when there was no answer."""
    engine.script = refusal(400, "no")
    answer = ask(gateway, chat())
    assert exchanges.get(answer.headers["x-request-id"])["outcome"] == "failed"


def test_completion_is_recorded(gateway: Gateway, engine: ScriptedEngine, exchanges: Exchanges) -> None:
    for stream in (False, True):
        answer = ask(gateway, {"prompt": "Once", "stream": stream}, "/v1/completions")
        found = exchanges.get(answer.headers["x-request-id"])
        assert found["endpoint"] == "/v1/completions"
        assert found["input"] == "Once"
        assert found["answer"][0]["content"] == "Hello, world."


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
class TestOutcomes:
    """Each outcome, plain and streamed."""

    def test_cut_off_by_a_limit(
        self, gateway: Gateway, engine: ScriptedEngine, exchanges: Exchanges, stream: bool
    ) -> None:
        engine.script = Script(finish_reason="length")
        found = exchanges.get(ask(gateway, chat(stream=stream)).headers["x-request-id"])
        assert (found["outcome"], found["finish_reason"]) == ("length", "length")

    def test_tool_calls(
        self, gateway: Gateway, engine: ScriptedEngine, exchanges: Exchanges, stream: bool
    ) -> None:
        calls = (ToolCall(name="a", arguments='{"x":1}'), ToolCall(name="b", arguments="{}"))
        engine.script = Script(tool_calls=calls)
        found = exchanges.get(ask(gateway, chat(stream=stream)).headers["x-request-id"])
        assert (found["outcome"], found["finish_reason"]) == ("completed", "tool_calls")
        functions = [call["function"] for call in found["answer"][0]["tool_calls"]]
        assert functions == [{"name": "a", "arguments": '{"x":1}'}, {"name": "b", "arguments": "{}"}]

    def test_several_choices(
        self, gateway: Gateway, engine: ScriptedEngine, exchanges: Exchanges, stream: bool
    ) -> None:
        found = exchanges.get(ask(gateway, chat(stream=stream, n=3)).headers["x-request-id"])
        assert [choice["index"] for choice in found["answer"]] == [0, 1, 2]
        assert {choice["content"] for choice in found["answer"]} == {"Hello, world."}

    def test_refused_by_the_engine(
        self, gateway: Gateway, engine: ScriptedEngine, exchanges: Exchanges, stream: bool
    ) -> None:
        engine.script = refusal(400, "too long", param="input_tokens")
        found = exchanges.get(ask(gateway, chat(stream=stream)).headers["x-request-id"])
        assert found["outcome"] == "failed"
        assert found["answer"] is None
        assert found["error"]["code"] == "context_length_exceeded"

    def test_aborted_by_the_engine(
        self, gateway: Gateway, engine: ScriptedEngine, exchanges: Exchanges, stream: bool
    ) -> None:
        engine.script = Script(finish_reason="abort")
        found = exchanges.get(ask(gateway, chat(stream=stream)).headers["x-request-id"])
        assert found["outcome"] == "failed"
        assert found["finish_reason"] != "stop"

    def test_dead_in_the_middle(
        self, gateway: Gateway, engine: ScriptedEngine, exchanges: Exchanges, stream: bool
    ) -> None:
        engine.script = Script(stop_after=3, ending="reset")
        found = exchanges.get(ask(gateway, chat(stream=stream)).headers["x-request-id"])
        assert found["outcome"] == "failed"
        assert found["finish_reason"] is None
        if stream:
            assert found["answer"][0]["content"] == "Hello, "

    def test_odd_texts_are_kept_word_for_word(
        self, gateway: Gateway, engine: ScriptedEngine, exchanges: Exchanges, stream: bool
    ) -> None:
        """Markers, null characters and any Unicode are in the record as they were written and said."""
        text = '</s><|system|>\x00\u2028\U0001f30d\\u0000 "quoted"'
        engine.script = Script(pieces=(text, text))
        body = json.dumps(chat(text, stream=stream)).encode()
        answer = gateway.post("/v1/chat/completions", body, **{"content-type": "application/json"})
        assert answer.status == 200
        found = exchanges.get(answer.headers["x-request-id"])
        assert found["input"][0]["content"] == text
        assert found["answer"][0]["content"] == text * 2


def test_lone_surrogate_is_an_answer_or_a_refusal_but_no_crash(
    gateway: Gateway, engine: ScriptedEngine, exchanges: Exchanges
) -> None:
    """JSON can name half a character; whatever is done with it, it is in shape and, if answered, recorded."""
    body = rb'{"messages": [{"role": "user", "content": "half \ud800 of one"}]}'
    answer = gateway.post("/v1/chat/completions", body, **{"content-type": "application/json"})
    assert answer.status in (200, 400)
    if answer.status == 200:
        exchanges.sql("SELECT input::text FROM exchanges WHERE id = $1::uuid", answer.headers["x-request-id"])
        assert rb"\ud800" in engine.one().body


def test_refusals_of_the_gateway_are_not_exchanges(
    gateway: Gateway, engine: ScriptedEngine, exchanges: Exchanges
) -> None:
    """What the engine was never asked is not in the log of what was said."""
    before = exchanges.count()
    ask(gateway, chat(temperature=9))
    ask(gateway, chat() | {"model": "gpt-4"})
    assert exchanges.count() == before


def test_log_is_read_back_over_http(gateway: Gateway, engine: ScriptedEngine) -> None:
    """What a client has just received he can read back at once."""
    answer = ask(gateway, chat("remember me"))
    id = answer.headers["x-request-id"]
    found: Any = gateway.get(f"/log/exchanges/{id}")
    assert found.status == 200
    assert found.json["input"] == [{"role": "user", "content": "remember me"}]
    newest = gateway.get("/log/exchanges?limit=1").json["data"][0]
    assert newest["id"] == found.json["id"]
