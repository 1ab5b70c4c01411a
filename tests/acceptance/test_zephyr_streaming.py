"""`"stream": true` on the documented endpoints."""

import time

import pytest

from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import Gateway, read_until
from tests.acceptance.zephyr import events, logged, streamed
from tests.fakes.engine import Script, ScriptedEngine, refusal


def test_a_stream_gives_deltas_then_the_plain_answer_then_the_end_mark(
    gateway: Gateway, engine: ScriptedEngine, exchanges: Exchanges
) -> None:
    text, whole = streamed(gateway, "/zephyr/python", user_message="hi")
    plain = gateway.post("/zephyr/python", {"user_message": "hi"}).json
    assert text == whole["response"] == plain["response"] == "Hello, world."
    assert set(whole) == set(plain)
    assert whole["usage"] == plain["usage"]
    assert logged(exchanges, whole)["answer"][0]["content"] == "Hello, world."


def test_streamed_deltas_join_to_the_stripped_response(gateway: Gateway, engine: ScriptedEngine) -> None:
    engine.script = Script(pieces=("\n ", " A", " ", "\n", "b ", " c", "\n", "\n"))
    text, whole = streamed(gateway, "/zephyr/python", user_message="hi")
    assert text == whole["response"] == "A \nb  c"


def test_a_streamed_raw_answer_begins_with_what_the_model_saw(
    gateway: Gateway, engine: ScriptedEngine
) -> None:
    text, whole = streamed(gateway, "/zephyr/raw", user_message="hi")
    assert text == whole["response"] == gateway.post("/zephyr/raw", {"user_message": "hi"}).json["response"]
    assert text.startswith("<|system|>\nYou are a friendly")
    assert text.endswith("<|user|>\nhi</s>\n<|assistant|>\nHello, world.")


@pytest.mark.parametrize("pieces", [(), (" ", "\n")])
def test_an_empty_answer_is_a_stream_with_the_answer_alone(
    gateway: Gateway, engine: ScriptedEngine, pieces: tuple[str, ...]
) -> None:
    engine.script = Script(pieces=pieces)
    assert streamed(gateway, "/zephyr/python", user_message="hi")[1]["response"] == ""


def test_text_arrives_while_the_engine_is_still_writing(gateway: Gateway, engine: ScriptedEngine) -> None:
    engine.script = Script(pieces=("one", " two", " three"), pause=0.3)
    with gateway.send({"user_message": "hi", "stream": True}, "/zephyr/python") as one:
        read_until(one, b'{"delta":"one"}')
        assert engine.one().outcome == "open"
        read_until(one, b"data: [DONE]")


def test_a_refusal_of_the_engine_is_a_plain_error_also_when_streaming(
    gateway: Gateway, engine: ScriptedEngine
) -> None:
    engine.script = refusal(503, "full", type="Service Unavailable")
    answer = gateway.post("/zephyr/python", {"user_message": "hi", "stream": True})
    assert (answer.status, answer.error["code"]) == (503, "overloaded")
    assert answer.headers["retry-after"]


@pytest.mark.parametrize("path", ["/zephyr/python", "/zephyr/structured-code-doc"])
def test_an_engine_that_dies_in_the_middle_ends_the_stream_with_an_error_and_no_end_mark(
    gateway: Gateway, engine: ScriptedEngine, exchanges: Exchanges, path: str
) -> None:
    engine.script = Script(stop_after=3, ending="reset", pause=0.02)
    answer = gateway.post(path, {"user_message": "hi", "stream": True})
    *deltas, last = events(answer)
    assert last["error"]["code"] == "engine_failed"
    assert deltas
    assert all(set(delta) == {"delta"} for delta in deltas)
    found = exchanges.get(answer.headers["x-request-id"])
    assert found["outcome"] == "failed"
    assert found["error"]["code"] == "engine_failed"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", ["/zephyr/python", "/zephyr/structured-code-doc", "/zephyr/raw"])
def test_a_client_that_leaves_stops_the_engine_within_a_second(
    gateway: Gateway, engine: ScriptedEngine, exchanges: Exchanges, path: str, stream: bool
) -> None:
    engine.script = Script(pieces=["word "] * 200, pause=0.05, silence=0.0 if stream else 10.0)
    before = exchanges.sql("SELECT count(*) FROM exchanges WHERE outcome = 'client_gone'")[0]["count"]
    one = gateway.send({"user_message": "hi", "stream": stream}, path)
    asked = engine.wait_for(5 if "structured" in path else 1)
    time.sleep(0.3)
    left = time.monotonic()
    one.close()
    for seen in asked:
        assert seen.wait() == "aborted"
        assert seen.ended - left < 1.0
    limit = time.monotonic() + 5
    query = "SELECT count(*) FROM exchanges WHERE outcome = 'client_gone'"
    while exchanges.sql(query)[0]["count"] != before + 1:
        assert time.monotonic() < limit, "the exchange was not recorded as what it was, once"
        time.sleep(0.05)
