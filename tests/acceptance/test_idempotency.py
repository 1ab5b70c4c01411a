"""`Idempotency-Key`: a request that is sent again is not paid for again, and its answer is the same, byte for byte."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from typing import Any
from uuid import UUID

import openai
import pytest

from tests.acceptance.conftest import NewGateway
from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import Answer, Gateway, chat
from tests.acceptance.zephyr import results
from tests.fakes.engine import Script, ScriptedEngine, refusal

CHAT = "/v1/chat/completions"
SLOW = Script(pieces=("word ",) * 40, pause=0.02)
LINES = b'{"user_message": "one"}\n{"user_message": "two"}\n'
KINDS: dict[str, tuple[str, dict[str, Any] | bytes, int]] = {
    "chat": (CHAT, chat(), 1),
    "chat stream": (CHAT, chat(stream=True), 1),
    "completion": ("/v1/completions", {"model": "zephyr-7b-beta", "prompt": "Hi"}, 1),
    "completion stream": (
        "/v1/completions",
        {"model": "zephyr-7b-beta", "prompt": "Hi", "stream": True},
        1,
    ),
    "zephyr": ("/zephyr/python", {"user_message": "Hi"}, 1),
    "zephyr stream": ("/zephyr/raw", {"user_message": "Hi", "stream": True}, 1),
    "lines": ("/zephyr/python", LINES, 2),
    "document": ("/zephyr/structured-code-doc", {"user_message": "x = 1"}, 5),
    "document stream": ("/zephyr/structured-code-doc", {"user_message": "x = 1", "stream": True}, 5),
}
"""A path, a body, and how many generations it takes."""
_numbers = count(1)


@pytest.fixture
def key() -> str:
    """A key that no other test has."""
    return f"{time.time_ns()} {next(_numbers)}"


def ask(gateway: Gateway, key: str, body: dict[str, Any] | bytes, path: str = CHAT) -> Answer:
    headers = {"idempotency-key": key}
    if isinstance(body, bytes):
        headers["content-type"] = "application/x-ndjson"
    return gateway.request("POST", path, body, headers)


def replayed(answer: Answer) -> bool:
    return answer.headers.get("idempotent-replayed") == "true"


@pytest.mark.parametrize("kind", KINDS)
def test_finished_answer_is_replayed(gateway: Gateway, engine: ScriptedEngine, key: str, kind: str) -> None:
    """Every kind of answer, with the same bytes and nothing asked of the engine."""
    path, body, generations = KINDS[kind]
    first = ask(gateway, key, body, path)
    assert (first.status, replayed(first)) == (200, False), first.body
    assert len(engine.seen) == generations
    second = ask(gateway, key, body, path)
    assert (second.status, second.body, replayed(second)) == (200, first.body, True)
    assert second.headers["content-type"] == first.headers["content-type"]
    assert second.headers["x-request-id"] != first.headers["x-request-id"]
    assert len(engine.seen) == generations


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_fifty_at_once_are_one_generation(
    gateway: Gateway, engine: ScriptedEngine, key: str, stream: bool
) -> None:
    engine.script = Script(silence=0.3, pause=0.05)
    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(lambda _: ask(gateway, key, chat(stream=stream)), range(50)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert answers[0].body.endswith(b"data: [DONE]\n\n") is stream
    assert sum(map(replayed, answers)) == 49
    assert len(engine.seen) == 1


def test_who_comes_in_the_middle_of_a_stream_sees_all_of_it(
    gateway: Gateway, engine: ScriptedEngine, key: str
) -> None:
    """And gets the rest as it comes, not when it is whole."""
    engine.script = SLOW
    headers = {"idempotency-key": key}
    with ExitStack() as stack:
        first = stack.enter_context(gateway.opened("POST", CHAT, chat(stream=True), headers))
        begun = first.read(1)
        second = stack.enter_context(gateway.opened("POST", CHAT, chat(stream=True), headers))
        assert second.getheader("idempotent-replayed") == "true"
        also_begun = second.read(1)
        assert engine.one().outcome == "open"
        assert begun + first.read() == also_begun + second.read()
    assert len(engine.seen) == 1


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_client_that_breaks_off_finds_its_generation_again(
    gateway: Gateway, engine: ScriptedEngine, exchanges: Exchanges, key: str, stream: bool
) -> None:
    engine.script = Script(pieces=("word ",) * 40, pause=0.02) if stream else Script(silence=1.0)
    break_off(gateway, engine, key, stream=stream)
    time.sleep(0.3)
    answer = ask(gateway, key, chat(stream=stream))
    assert (answer.status, replayed(answer)) == (200, True)
    assert answer.body.count(b"word ") == (40 if stream else 0)
    assert engine.one().wait() == "completed"
    assert exchanges.get(engine.one().headers["x-request-id"])["outcome"] == "completed"


def break_off(gateway: Gateway, engine: ScriptedEngine, key: str, *, stream: bool) -> None:
    """Ask, and leave before the end."""
    content = json.dumps(chat(stream=stream)).encode()
    head = (
        f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"idempotency-key: {key}\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    with gateway.connect() as one:
        one.sendall(head.encode() + content)
        engine.one()
        if stream:
            assert one.recv(100)


@pytest.fixture(scope="module")
def impatient(new_gateway: NewGateway) -> Iterator[Gateway]:
    """A gateway that waits for half a second for somebody to come back."""
    with new_gateway(ZEPHYR_IDEMPOTENCY_GRACE="0.5") as gateway:
        yield gateway


def test_work_is_given_up_when_nobody_comes_back(
    impatient: Gateway, engine: ScriptedEngine, exchanges: Exchanges, key: str
) -> None:
    """And then the key is free: the next one generates."""
    engine.script = Script(pieces=("word ",) * 1000, pause=0.02)
    break_off(impatient, engine, key, stream=True)
    seen = engine.one()
    assert seen.wait(3.0) == "aborted"
    assert seen.ended - seen.arrived > 0.5
    assert exchanges.get(seen.headers["x-request-id"])["outcome"] == "client_gone"
    engine.script = Script()
    answer = ask(impatient, key, chat(stream=True))
    assert (answer.status, replayed(answer)) == (200, False)
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert len(engine.seen) == 2


def test_lines_that_were_given_up_are_not_kept(impatient: Gateway, engine: ScriptedEngine, key: str) -> None:
    """Their answer ends like a whole one for nobody."""
    engine.scripts["two"] = Script(silence=60)
    headers = {"idempotency-key": key, "content-type": "application/x-ndjson"}
    with impatient.opened("POST", "/zephyr/python", LINES, headers) as answer:
        assert b'"index":0' in answer.readline()
    assert [seen.wait(3.0) for seen in engine.wait_for(2)] == ["completed", "aborted"]
    engine.scripts = {}
    assert sorted(results(ask(impatient, key, LINES, "/zephyr/python"))) == [0, 1]


def test_other_request_is_refused(gateway: Gateway, engine: ScriptedEngine, key: str) -> None:
    """With the same key: while the first runs, and after it."""
    engine.script = Script(silence=0.5)
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(ask, gateway, key, chat())
        engine.one()
        refused = [ask(gateway, key, chat("another"))]
        assert first.result().status == 200
    refused += [ask(gateway, key, chat(stream=True)), ask(gateway, key, chat(), "/v1/completions")]
    for answer in refused:
        assert (answer.status, answer.error["code"]) == (422, "idempotency_key_reused")
        assert answer.error["param"] == "Idempotency-Key"
    assert len(engine.seen) == 1
    assert ask(gateway, key, chat()).body == first.result().body


@pytest.mark.parametrize("key", ["", "k" * 256, "kä"])
def test_bad_key_is_refused_where_something_is_generated(
    gateway: Gateway, engine: ScriptedEngine, key: str
) -> None:
    for path in (CHAT, "/zephyr/python"):
        answer = ask(gateway, key, chat(), path)
        assert (answer.status, answer.error["param"]) == (400, "Idempotency-Key")
    assert gateway.get("/v1/models", **{"idempotency-key": key}).status == 200
    assert engine.seen == []


@pytest.mark.parametrize(
    "script",
    [
        refusal(500, "no"),
        refusal(400, "not so"),
        Script(stop_after=2, ending="close"),
        Script(stop_after=2, ending="reset"),
    ],
    ids=["failed", "refused", "closed", "reset"],
)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_error_is_not_kept(
    gateway: Gateway, engine: ScriptedEngine, key: str, stream: bool, script: Script
) -> None:
    """Neither an error nor a stream that broke: who tries again gets an answer."""
    engine.script = script
    broken = ask(gateway, key, chat(stream=stream))
    assert broken.status >= 400 or b"[DONE]" not in broken.body
    engine.script = Script()
    answer = ask(gateway, key, chat(stream=stream))
    assert (answer.status, replayed(answer), b"Hello" in answer.body) == (200, False, True)


def test_deleting_the_exchange_of_a_line_deletes_the_kept_answer_of_all(
    gateway: Gateway, exchanges: Exchanges, key: str
) -> None:
    """What was said in it stands there too; the exchanges of the other lines stay, and all name their request."""
    answer = ask(gateway, key, LINES, "/zephyr/python")
    first, second = (results(answer)[index]["id"] for index in (0, 1))
    for id in (first, second):
        parameters = exchanges.get(id)["parameters"]
        assert UUID(parameters["line_of"]).hex == answer.headers["x-request-id"]
    kept = f"SELECT FROM idempotent_answers WHERE key = '{key}'"
    assert len(exchanges.sql(kept)) == 1
    assert gateway.request("DELETE", f"/log/exchanges/{UUID(first)}", None).status == 200
    assert not exchanges.sql(kept)
    assert "line_of" not in exchanges.get(first)["parameters"]
    assert exchanges.get(second)["answer"] is not None


def test_lines_in_which_the_server_failed_are_not_kept(
    gateway: Gateway, engine: ScriptedEngine, key: str
) -> None:
    engine.scripts["two"] = refusal(500, "no")
    assert "error" in results(ask(gateway, key, LINES, "/zephyr/python"))[1]
    engine.scripts = {}
    assert "error" not in results(ask(gateway, key, LINES, "/zephyr/python"))[1]


def test_openai_sdk(gateway: Gateway, engine: ScriptedEngine, key: str) -> None:
    """The unmodified SDK, which tries again by itself after a broken connection."""
    engine.script = Script(silence=1.0)
    with openai.OpenAI(base_url=gateway.url + "/v1", api_key="none", max_retries=2, timeout=0.7) as client:
        asked: dict[str, Any] = chat() | {"extra_headers": {"Idempotency-Key": key}}
        first = client.chat.completions.create(**asked)
        second = client.chat.completions.create(**asked)
        assert (first.id, first.choices[0].message.content) == (second.id, "Hello, world.")
        streamed = client.chat.completions.create(
            **asked | {"stream": True, "extra_headers": None}, timeout=5
        )
        assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == "Hello, world."
        assert len(engine.seen) == 2
        with pytest.raises(openai.UnprocessableEntityError):
            client.chat.completions.create(**asked | {"temperature": 0.5})


def test_answer_of_another_key_is_another(gateway: Gateway, engine: ScriptedEngine, key: str) -> None:
    first, second = ask(gateway, key, chat()), ask(gateway, key + " too", chat())
    assert first.json["id"] != second.json["id"]
    assert len(engine.seen) == 2


def test_replay_is_quick(gateway: Gateway, engine: ScriptedEngine, key: str) -> None:
    """Ten milliseconds are the aim; the bound leaves room for a busy machine, and none for a generation."""
    engine.script = Script(silence=2.0)
    ask(gateway, key, chat())
    times = []
    for _ in range(10):
        began = time.monotonic()
        ask(gateway, key, chat())
        times.append(time.monotonic() - began)
    assert min(times) < 0.05


def test_a_generation_is_stopped_by_its_key_without_waiting_for_its_client(
    gateway: Gateway, engine: ScriptedEngine, key: str
) -> None:
    """At once, and what came is in the log as what it is; there is nothing to stop afterwards."""
    engine.script = SLOW
    with gateway.opened("POST", CHAT, chat(stream=True), {"idempotency-key": key}) as response:
        response.read(10)
        began = time.monotonic()
        stopped = gateway.request("DELETE", CHAT, None, {"idempotency-key": key})
        assert (stopped.status, stopped.body) == (204, b"")
        assert engine.one().wait() == "aborted"
        assert time.monotonic() - began < 1
        rest = response.read()
        assert b"[DONE]" not in rest
        assert b'"code": "cancelled"' in rest.splitlines()[-2], (
            rest
        )  # whoever still reads is not to take it for whole
    again = gateway.request("DELETE", CHAT, None, {"idempotency-key": key})
    assert (again.status, again.error["code"]) == (404, "nothing_to_stop")
    assert gateway.request("DELETE", CHAT, None).status == 405


def test_whoever_waits_for_a_plain_answer_is_told_that_it_was_stopped(
    gateway: Gateway, engine: ScriptedEngine, key: str
) -> None:
    """And not to try again, which would have it made after all."""
    engine.script = Script(silence=20)
    with ThreadPoolExecutor() as thread:
        waiting = thread.submit(ask, gateway, key, chat())
        engine.wait_for(1)
        assert gateway.request("DELETE", CHAT, None, {"idempotency-key": key}).status == 204
        answer = waiting.result(timeout=10)
    assert (answer.status, answer.error["code"]) == (500, "cancelled")
    assert answer.headers["x-should-retry"] == "false"
