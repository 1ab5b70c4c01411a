"""Responses that nobody waits for: made, followed, replayed, cancelled, and told truthfully when their gateway dies."""

import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.responses import Response

from tests.acceptance.conftest import NewGateway
from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import Gateway, read_until
from tests.fakes.engine import Script, ScriptedEngine

MODEL = "zephyr-7b-beta"
ENDLESS = Script(pieces=("word ",) * 10_000, pause=0.02)


@pytest.fixture
def client(gateway: Gateway) -> Iterator[openai.OpenAI]:
    with gateway.openai() as client:
        yield client


def until(client: openai.OpenAI, id: str, *statuses: str, seconds: float = 5.0) -> Response:
    """Poll until the response has one of these statuses."""
    limit = time.monotonic() + seconds
    while (found := client.responses.retrieve(id)).status not in statuses:
        assert time.monotonic() < limit, found.status
        time.sleep(0.02)
    return found


def background(client: openai.OpenAI, **fields: Any) -> Response:
    made: Response = client.responses.create(model=MODEL, input="Hi", background=True, **fields)
    return made


def test_background_response_is_polled_to_its_end(
    client: openai.OpenAI, engine: ScriptedEngine, exchanges: Exchanges
) -> None:
    """Queued at once, in progress while the engine writes, completed when it is in the log, and then gone on from."""
    engine.script = Script(pieces=("word ",) * 10, pause=0.05)
    made = background(client, metadata={"a": "b"}, instructions="Be brief.")
    assert (made.status, made.background, made.metadata) == ("queued", True, {"a": "b"})
    assert made.model == "scripted-model"
    running = until(client, made.id, "in_progress")
    assert (running.instructions, running.output) == ("Be brief.", [])
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model=MODEL, input="And?", previous_response_id=made.id)
    with pytest.raises(openai.BadRequestError):
        client.responses.delete(made.id)
    done = until(client, made.id, "completed")
    assert done.output_text == "word " * 10
    assert len(client.responses.input_items.list(made.id).data) == 1
    assert (
        exchanges.sql("SELECT FROM open_responses WHERE id = $1::uuid", made.id.removeprefix("resp_")) == []
    )
    client.responses.create(model=MODEL, input="And?", previous_response_id=made.id)
    assert [m["role"] for m in engine.seen[-1].json["messages"]] == ["user", "assistant", "user"]


def test_stream_is_followed_and_replayed(
    client: openai.OpenAI, engine: ScriptedEngine, new_gateway: NewGateway
) -> None:
    """Whoever lost the stream reads on after the last number, while it runs and afterwards, here and elsewhere."""
    engine.script = Script(pieces=[f"{n} " for n in range(30)], pause=0.03)
    stream: Any = client.responses.create(model=MODEL, input="Hi", background=True, stream=True)
    seen = []
    for event in stream:
        seen.append(event)
        if len(seen) == 10:
            break
    stream.close()
    assert [e.type for e in seen[:3]] == ["response.created", "response.queued", "response.in_progress"]
    id = seen[0].response.id
    followed = list(client.responses.retrieve(id, stream=True, starting_after=9))
    assert client.responses.retrieve(id).status == "completed"
    whole = [*seen, *followed]
    assert [event.sequence_number for event in whole] == list(range(len(whole)))
    assert whole[-1].type == "response.completed"
    text = "".join(event.delta for event in whole if event.type == "response.output_text.delta")
    assert text == whole[-1].response.output_text == "".join(engine.script.pieces)
    with new_gateway() as other, other.openai() as elsewhere:
        assert list(elsewhere.responses.retrieve(id, stream=True)) == whole
        assert (
            list(elsewhere.responses.retrieve(id, stream=True, starting_after=len(whole) - 2)) == whole[-1:]
        )
        assert list(elsewhere.responses.retrieve(id, stream=True, starting_after=len(whole) - 1)) == []
        with elsewhere.responses.stream(response_id=id) as helper:
            assert helper.get_final_response().output_text == text


def test_only_background_streams_have_events(client: openai.OpenAI, engine: ScriptedEngine) -> None:
    """Of any other there is nothing to replay."""
    plain = client.responses.create(model=MODEL, input="Hi")
    polled = until(client, background(client).id, "completed")
    for made in (plain, polled):
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.retrieve(made.id, stream=True)
        assert caught.value.param == "stream"


@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "from another gateway"])
def test_cancel(
    client: openai.OpenAI,
    engine: ScriptedEngine,
    exchanges: Exchanges,
    new_gateway: NewGateway,
    elsewhere: bool,
) -> None:
    """The engine's work ends, the record says so, a stream that follows ends, and cancelling again changes nothing."""
    engine.script = ENDLESS
    stream: Any = client.responses.create(model=MODEL, input="Hi", background=True, stream=True)
    id = next(iter(stream)).response.id
    until(client, id, "in_progress")
    if elsewhere:
        with new_gateway() as other, other.openai() as far:
            cancelled = far.responses.cancel(id)
    else:
        cancelled = client.responses.cancel(id)
    assert cancelled.status == "cancelled"
    assert engine.one().wait(2.0) == "aborted"
    assert cancelled.output_text.startswith("word ")
    *_, last = stream
    assert (last.type, last.response.status) == ("response.incomplete", "cancelled")
    assert client.responses.cancel(id) == cancelled
    assert exchanges.get(id.removeprefix("resp_"))["outcome"] == "cancelled"
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model=MODEL, input="And?", previous_response_id=id)


def test_what_is_not_in_the_background_is_not_cancelled(
    client: openai.OpenAI, engine: ScriptedEngine
) -> None:
    """It is said how that is done; of what has ended, the end stands."""
    made = client.responses.create(model=MODEL, input="Hi")
    with pytest.raises(openai.BadRequestError):
        client.responses.cancel(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.cancel("resp_" + "0" * 32)
    done = until(client, background(client).id, "completed")
    assert client.responses.cancel(done.id) == done


@pytest.mark.parametrize("address", ["/v1/responses/resp_", "/log/exchanges/", "/log/conversations/"])
def test_deleted_response_leaves_no_events(
    client: openai.OpenAI, gateway: Gateway, engine: ScriptedEngine, exchanges: Exchanges, address: str
) -> None:
    """Nothing of its text is left in any table, whichever way it is deleted."""
    engine.script = Script(pieces=("a very", " secret", " thing"))
    *_, last = client.responses.create(model=MODEL, input="Hi", background=True, stream=True)
    id = last.response.id  # type: ignore[union-attr]
    bare = id.removeprefix("resp_")
    assert gateway.request("DELETE", address + bare, None).status == 200
    assert exchanges.sql("SELECT FROM response_events WHERE response_id = $1::uuid", bare) == []
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(id, stream=True)


def test_engine_that_dies_and_engine_that_refuses(client: openai.OpenAI, engine: ScriptedEngine) -> None:
    """Both make a failed response, which tells what it can."""
    engine.script = Script(stop_after=3, ending="reset")
    *_, last = client.responses.create(model=MODEL, input="Hi", background=True, stream=True)
    assert last.type == "response.failed"
    assert last.response.output_text == "Hello, "
    assert client.responses.retrieve(last.response.id) == last.response
    engine.script = Script(stop_after=0, ending="reset")
    failed = until(client, background(client).id, "failed")
    assert failed.error and failed.error.code == "server_error"


def test_client_that_leaves_does_not_stop_it(
    gateway: Gateway, client: openai.OpenAI, engine: ScriptedEngine
) -> None:
    """That is what the background is for."""
    engine.script = Script(pieces=("word ",) * 20, pause=0.03)
    with gateway.send({"input": "Hi", "stream": True, "background": True}, "/v1/responses") as one:
        got = read_until(one, b"response.in_progress")
    id = got.partition(b'"id":"')[2].partition(b'"')[0].decode()
    assert until(client, id, "completed").output_text == "word " * 20


def test_as_many_as_may_be(new_gateway: NewGateway, engine: ScriptedEngine) -> None:
    """One more is refused until one has ended."""
    engine.script = ENDLESS
    with new_gateway(ZEPHYR_MAX_BACKGROUND_RESPONSES="2") as gateway, gateway.openai() as client:
        running = [background(client) for _ in range(2)]
        with pytest.raises(openai.InternalServerError) as caught:
            background(client)
        assert (caught.value.status_code, caught.value.code) == (503, "overloaded")
        client.responses.cancel(running[0].id)
        background(client)


def test_gateway_that_dies_leaves_a_failed_response(
    new_gateway: NewGateway, engine: ScriptedEngine, client: openai.OpenAI
) -> None:
    """Not before its lease is over; its stream ends, and says so, from wherever it is read."""
    engine.script = ENDLESS
    with new_gateway(ZEPHYR_RESPONSE_LEASE="1") as gateway:
        with gateway.openai() as dying:
            made: Any = dying.responses.create(model=MODEL, input="Hi", background=True, stream=True)
            id = next(iter(made)).response.id
            until(client, id, "in_progress")
        gateway.kill()
    assert client.responses.retrieve(id).status == "in_progress"
    events = list(client.responses.retrieve(id, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.failed"
    assert events[-1].response.error and "gateway" in events[-1].response.error.message
    assert client.responses.retrieve(id).status == "failed"
    client.responses.delete(id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(id)


def test_stop_ends_it_and_says_so(
    new_gateway: NewGateway, engine: ScriptedEngine, client: openai.OpenAI
) -> None:
    """A gateway that is told to stop records what came, in the log and in the stream."""
    engine.script = ENDLESS
    with new_gateway(ZEPHYR_DRAIN_SECONDS="0.2") as gateway:
        with gateway.openai() as dying:
            made: Any = dying.responses.create(model=MODEL, input="Hi", background=True, stream=True)
            id = next(iter(made)).response.id
        until(client, id, "in_progress")
        gateway.terminate()
        gateway.process.wait(10)
    found = client.responses.retrieve(id)
    assert found.status == "failed"
    assert found.error and "shutting down" in found.error.message
    *_, last = client.responses.retrieve(id, stream=True)
    assert (last.type, last.response) == ("response.failed", found)  # type: ignore[union-attr]
