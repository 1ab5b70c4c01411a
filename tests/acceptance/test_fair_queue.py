"""The queue before the engine: who waits, what those who wait are told, and how their waiting ends."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from tests.acceptance.conftest import NewGateway
from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import Answer, Gateway, chat, read_until
from tests.acceptance.keys import Holder, created
from tests.fakes.engine import Script, ScriptedEngine, refusal

HANGS = Script(stop_after=3, ending="hang")
ONE_PLACE = {"ZEPHYR_ENGINE_CONCURRENCY": "1", "ZEPHYR_ENGINE_SPARE": "0"}
PATHS = pytest.mark.parametrize("path", ["/v1/chat/completions", "/zephyr/python", "/v1/responses"])


@pytest.fixture(scope="module")
def narrow(new_gateway: NewGateway) -> Iterator[Gateway]:
    """A gateway with one place at the engine, which tells those who wait their place soon."""
    with new_gateway(ZEPHYR_PLACE_TOLD_AFTER="0.1", **ONE_PLACE) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def quiet(new_gateway: NewGateway) -> Iterator[Gateway]:
    """The same, telling nobody anything for a long time."""
    with new_gateway(ZEPHYR_PLACE_TOLD_AFTER="30", **ONE_PLACE) as gateway:
        yield gateway


@contextmanager
def taken(gateway: Gateway, engine: ScriptedEngine, *, then: Script | None = None) -> Iterator[None]:
    """Somebody has the only place until the end of this; all others are answered as `then` says."""
    engine.script, engine.scripts = then or Script(), {"the first": HANGS}
    one = gateway.send(chat("the first", stream=True))
    try:
        read_until(one, b"Hello")
        yield
    finally:
        one.close()


def body_of(path: str, text: str = "hello") -> dict[str, object]:
    """A request for a stream."""
    if path == "/zephyr/python":
        return {"user_message": text, "stream": True}
    return chat(text, stream=True) if path.endswith("completions") else {"input": text, "stream": True}


def test_those_who_wait_reach_the_engine_in_their_order(narrow: Gateway, engine: ScriptedEngine) -> None:
    """One after the other, as places come free; one tenant's own requests in the order in which they came."""
    with taken(narrow, engine):
        waiting = []
        for number in range(3):
            waiting.append(narrow.send(chat(f"{number}", stream=True)))
            read_until(waiting[-1], b"place %d\n\n" % (number + 1))
        assert len(engine.seen) == 1
    for one in waiting:
        read_until(one, b"[DONE]")
        one.close()
    assert [seen.json["messages"][0]["content"] for seen in engine.seen] == ["the first", "0", "1", "2"]


@PATHS
def test_a_stream_that_waits_is_told_its_place(narrow: Gateway, engine: ScriptedEngine, path: str) -> None:
    """In comments, one for each place; then comes what any stream says."""
    with taken(narrow, engine):
        before = narrow.send(chat("before", stream=True))
        read_until(before, b"place 1\n\n")
        one = narrow.send(body_of(path), path)
        head = read_until(one, b": queued, place 2\n\n")
        before.close()
        read_until(one, b": queued, place 1\n\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"text/event-stream" in head
    rest = read_until(one, b"0\r\n\r\n")
    one.close()
    assert b"Hello" in rest
    assert b'"code"' not in rest


def test_sdk_reads_a_stream_that_waited(narrow: Gateway, engine: ScriptedEngine) -> None:
    """OpenAI's own passes over the comments."""
    client = narrow.openai()

    def ask() -> tuple[str, str]:
        chunks = client.chat.completions.create(
            model="zephyr-7b-beta", messages=[{"role": "user", "content": "hello"}], stream=True
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        with client.responses.stream(model="zephyr-7b-beta", input="hello") as events:
            return text, events.get_final_response().output_text

    with ThreadPoolExecutor() as threads:
        with taken(narrow, engine):
            answer = threads.submit(ask)
            time.sleep(0.3)
            assert not answer.done()
        assert answer.result() == ("Hello, world.", "Hello, world.")


@PATHS
def test_an_error_after_waiting_is_an_event(narrow: Gateway, engine: ScriptedEngine, path: str) -> None:
    """The status line is spent: what the engine says of the request then comes in the stream, without an end mark."""
    with taken(narrow, engine, then=refusal(400, "no such thing", param="seed")):
        one = narrow.send(body_of(path), path)
        read_until(one, b": queued, place 1\n\n")
    rest = read_until(one, b"0\r\n\r\n")
    one.close()
    assert b"no such thing" in rest
    assert b"[DONE]" not in rest


@PATHS
def test_an_error_before_anything_was_told_is_the_status(
    quiet: Gateway, engine: ScriptedEngine, path: str
) -> None:
    """Who did not wait long has the first event read before the status line is sent, as ever."""
    with ThreadPoolExecutor() as threads:
        with taken(quiet, engine, then=refusal(400, "no such thing", param="seed")):
            answer = threads.submit(quiet.post, path, body_of(path))
            time.sleep(0.2)
        assert answer.result().status == 400


def test_a_client_that_leaves_while_it_waits(
    narrow: Gateway, engine: ScriptedEngine, exchanges: Exchanges
) -> None:
    """It leaves the queue at once, the engine never hears of it, and the log says so: no answer, no tokens."""
    with taken(narrow, engine):
        gone = narrow.send(chat("gone", stream=True))
        id = read_until(gone, b"place 1\n\n").partition(b"x-request-id: ")[2][:32].decode()
        behind = narrow.send(chat("behind", stream=True))
        read_until(behind, b"place 2\n\n")
        gone.close()
        read_until(behind, b"place 1\n\n")
        exchange = exchanges.get(id)
        assert exchange["outcome"] == "client_gone"
        assert (exchange["answer"], exchange["prompt_tokens"], exchange["completion_tokens"]) == (None,) * 3
    read_until(behind, b"[DONE]")
    behind.close()
    assert [seen.json["messages"][0]["content"] for seen in engine.seen] == ["the first", "behind"]


@pytest.mark.parametrize("stream", [False, True])
def test_waiting_ends_with_a_refusal(
    new_gateway: NewGateway, engine: ScriptedEngine, exchanges: Exchanges, stream: bool
) -> None:
    """After the longest wait, which is in the log too: that somebody was kept waiting for nothing is worth knowing."""
    with new_gateway(ZEPHYR_LONGEST_WAIT="0.2", **ONE_PLACE) as gateway, taken(gateway, engine):
        answer = gateway.post("/v1/chat/completions", chat(stream=stream))
        assert (answer.status, answer.error["code"]) == (503, "overloaded")
        assert int(answer.headers["retry-after"]) >= 1
        assert exchanges.get(answer.headers["x-request-id"])["outcome"] == "failed"
        assert len(engine.seen) == 1


def test_one_tenants_queue_is_bounded(
    new_gateway: NewGateway, engine: ScriptedEngine, exchanges: Exchanges
) -> None:
    """Beyond it requests are refused at once, and leave nothing in the log."""
    with new_gateway(ZEPHYR_MAX_WAITING_OF_TENANT="1", **ONE_PLACE) as gateway, taken(gateway, engine):
        waiting = gateway.send(chat("waits", stream=True))
        read_until(waiting, b"place 1\n\n")
        logged = exchanges.count()
        answer = gateway.post("/v1/chat/completions", chat())
        assert (answer.status, answer.error["code"]) == (429, "too_many_waiting")
        assert answer.error["type"] == "rate_limit_error"
        assert int(answer.headers["retry-after"]) >= 1
        assert exchanges.count() == logged
        waiting.close()


def test_a_stop_ends_those_that_wait(
    new_gateway: NewGateway, engine: ScriptedEngine, exchanges: Exchanges
) -> None:
    """They are told, in the stream that has begun, and recorded."""
    with (
        new_gateway(ZEPHYR_PLACE_TOLD_AFTER="0.1", ZEPHYR_DRAIN_SECONDS="0.2", **ONE_PLACE) as gateway,
        taken(gateway, engine),
    ):
        one = gateway.send(chat("waits", stream=True))
        head = read_until(one, b"place 1\n\n")
        gateway.terminate()
        assert b'"shutting_down"' in read_until(one, b"0\r\n\r\n")
        one.close()
        gateway.process.wait(10)
    id = head.partition(b"x-request-id: ")[2][:32].decode()
    assert exchanges.get(id)["outcome"] == "cancelled"


def test_many_lines_share_the_places(new_gateway: NewGateway, engine: ScriptedEngine) -> None:
    """A body of many requests has as many entries in the queue, and the sections of a document too."""
    engine.script = Script(silence=0.1)
    with new_gateway(ZEPHYR_ENGINE_CONCURRENCY="2", ZEPHYR_ENGINE_SPARE="0") as gateway:
        lines = b"\n".join(json.dumps({"user_message": f"{number}"}).encode() for number in range(8))
        answer = gateway.post("/zephyr/python", lines, **{"content-type": "application/x-ndjson"})
        assert answer.body.count(b'"response"') == 8
        document = gateway.post("/zephyr/structured-code-doc", {"user_message": "x = 1"})
        assert document.status == 200
    assert min(gaps(engine, 2)) >= 0.1, "more than two at once"
    assert min(gaps(engine, 1)) < 0.1, "one after the other"


def gaps(engine: ScriptedEngine, apart: int) -> list[float]:
    """The seconds between each request that reached the engine and the one so many after it."""
    times = [seen.arrived for seen in engine.seen]
    return [later - earlier for earlier, later in zip(times, times[apart:], strict=False)]


def test_background_responses_wait_too(narrow: Gateway, engine: ScriptedEngine) -> None:
    """And can be cancelled while they do."""
    client = narrow.openai()
    with taken(narrow, engine):
        made = client.responses.create(model="zephyr-7b-beta", input="hello", background=True)
        time.sleep(0.2)
        assert client.responses.retrieve(made.id).status in ("queued", "in_progress")
        assert client.responses.cancel(made.id).status == "cancelled"
    assert len(engine.seen) == 1


def timing(value: str) -> dict[str, float]:
    """The parts of a `server-timing` header."""
    parts = (part.strip().split(";dur=") for part in value.split(","))
    return {name: float(milliseconds) for name, milliseconds in parts}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", chat()),
        ("/v1/completions", {"prompt": "hello"}),
        ("/v1/responses", {"input": "hello"}),
        ("/zephyr/python", {"user_message": "hello"}),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_every_answer_says_where_the_time_went(
    gateway: Gateway, engine: ScriptedEngine, path: str, body: dict[str, Any], stream: bool
) -> None:
    """A plain answer its whole time, a stream the time to its first event, in milliseconds."""
    engine.script = Script(silence=0.05)
    answer = gateway.post(path, body | {"stream": stream})
    times = timing(answer.headers["server-timing"])
    last = "first" if stream else "total"
    assert set(times) == {"queue", last}
    assert times["queue"] == 0
    assert 50 <= times[last] < 5000


def test_the_time_in_the_queue_is_told(narrow: Gateway, engine: ScriptedEngine) -> None:
    with ThreadPoolExecutor() as threads:
        with taken(narrow, engine):
            answer = threads.submit(narrow.post, "/v1/chat/completions", chat())
            time.sleep(0.3)
        times = timing(answer.result().headers["server-timing"])
    assert 50 <= times["queue"] <= times["total"]


@pytest.mark.parametrize("stream", [False, True])
def test_the_engine_is_told_a_priority_and_the_local_user_has_no_salt(
    gateway: Gateway, engine: ScriptedEngine, stream: bool
) -> None:
    gateway.post("/v1/chat/completions", chat(stream=stream))
    asked = engine.one().json
    assert isinstance(asked["priority"], int)
    assert "cache_salt" not in asked


@pytest.mark.parametrize("field", ["priority", "cache_salt"])
def test_clients_set_neither(gateway: Gateway, engine: ScriptedEngine, field: str) -> None:
    answer = gateway.post("/v1/chat/completions", chat() | {field: "1"})
    assert (answer.status, answer.error["param"]) == (400, field)
    assert engine.seen == []


@pytest.fixture(scope="module")
def narrow_keyed(new_gateway: NewGateway) -> Iterator[Gateway]:
    """A gateway that needs keys, with one place at the engine and one for newcomers."""
    with new_gateway(
        ZEPHYR_REQUIRE_KEYS="true", ZEPHYR_ENGINE_CONCURRENCY="1", ZEPHYR_ENGINE_SPARE="1"
    ) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def holders(narrow_keyed: Gateway, log_url: str) -> dict[str, Holder]:
    """One who floods, in two ways, and one who does not."""
    made = {
        name: created(log_url, tenant)
        for name, tenant in (("flood", "crowd"), ("more", "crowd"), ("one", "visitor"))
    }
    return {name: Holder(gateway=narrow_keyed, id=key["id"], key=key["key"]) for name, key in made.items()}


def test_a_flood_holds_nobody_else_back(holders: dict[str, Holder], engine: ScriptedEngine) -> None:
    """Whoever has nothing at the engine goes there at once; the flood goes on, one after the other."""
    engine.script = Script(silence=0.15)
    flood, one = holders["flood"], holders["one"]
    with ThreadPoolExecutor(16) as threads:
        flooding = [threads.submit(flood.post, "/v1/chat/completions", chat("flood")) for _ in range(8)]
        engine.wait_for(1)
        answers = [one.post("/v1/chat/completions", chat("visit")) for _ in range(3)]
        assert not all(one.done() for one in flooding)
        assert {answer.status for answer in answers} == {200}
        assert {answer.result().status for answer in flooding} == {200}
    assert min(gaps(engine, 2)) >= 0.15, "more than the usual place and the spare one"
    assert min(gaps(engine, 1)) < 0.15, "one after the other"


def test_who_was_served_least_is_next(new_gateway: NewGateway, log_url: str, engine: ScriptedEngine) -> None:
    """Not who came first: somebody who comes when a crowd waits already is served before the crowd's second."""
    engine.scripts = {"the first": HANGS}
    with new_gateway(ZEPHYR_REQUIRE_KEYS="true", **ONE_PLACE) as gateway, ThreadPoolExecutor() as threads:
        crowd, visitor = (
            Holder(gateway=gateway, id=key["id"], key=key["key"])
            for key in (created(log_url, "a-crowd"), created(log_url, "a-late-visitor"))
        )

        def queued(holder: Holder, text: str, place: int) -> Future[Answer]:
            asked = threads.submit(holder.post, "/v1/chat/completions", chat(text))
            limit = time.monotonic() + 5
            figure = b"zephyr_generations_waiting %d.0" % place
            while figure not in gateway.admin("GET", "/metrics").body:
                assert time.monotonic() < limit, f"{text} does not wait"
            return asked

        with gateway.opened("POST", "/v1/chat/completions", chat("the first", stream=True), crowd.headers):
            engine.wait_for(1)
            waiting = [queued(crowd, f"{number}", number) for number in (1, 2, 3)]
            waiting.append(queued(visitor, "late", 4))
        assert {one.result().status for one in waiting} == {200}
    asked = [seen.json["messages"][0]["content"] for seen in engine.seen]
    assert asked in (["the first", "late", "1", "2", "3"], ["the first", "1", "late", "2", "3"])


def test_keys_of_a_tenant_share_its_place(holders: dict[str, Holder], engine: ScriptedEngine) -> None:
    """Another key of the tenant that floods gains nothing, and another tenant passes both."""
    engine.scripts = {"the first": HANGS}
    flood = holders["flood"]
    with ThreadPoolExecutor() as threads:
        body = json.dumps(chat("the first", stream=True)).encode()
        headers = flood.headers | {"content-type": "application/json"}
        with flood.gateway.opened("POST", "/v1/chat/completions", body, headers):
            engine.wait_for(1)
            waiting = threads.submit(holders["more"].post, "/v1/chat/completions", chat("more"))
            time.sleep(0.1)
            assert holders["one"].post("/v1/chat/completions", chat("one")).status == 200
            assert not waiting.done()
        assert waiting.result().status == 200
    assert [seen.json["messages"][0]["content"] for seen in engine.seen] == ["the first", "one", "more"]


def test_each_tenant_has_a_salt_of_its_own(holders: dict[str, Holder], engine: ScriptedEngine) -> None:
    """The same for all its keys and on every endpoint, and no tenant's name in it."""
    for name in ("flood", "more", "one"):
        holders[name].post("/v1/chat/completions", chat())
        holders[name].post("/v1/completions", {"prompt": "hello"})
        holders[name].post("/v1/responses", {"input": "hello"})
        holders[name].post("/zephyr/python", {"user_message": "hello"})
    salts = [seen.json["cache_salt"] for seen in engine.seen]
    assert salts[:4] == salts[4:8] == [salts[0]] * 4
    assert salts[8:] == [salts[8]] * 4
    assert salts[0] != salts[8]
    assert not any("crowd" in salt or "visitor" in salt for salt in salts)
