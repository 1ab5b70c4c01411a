"""Responses while PostgreSQL is away: with a spool they go on, and nobody is told of what is not so."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.acceptance.conftest import NewGateway, migrate
from tests.acceptance.exchanges import Exchanges
from tests.acceptance.test_database_away import WITHOUT_SPOOL, locked
from tests.databases import PostgresServer
from tests.fakes.engine import Script, ScriptedEngine

MODEL = "zephyr-7b-beta"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server that may be hurt."""
    server = PostgresServer()
    migrate(server.url)
    yield server
    server.close()


def test_response_that_cannot_be_recorded_ends_in_an_error(
    new_gateway: NewGateway, engine: ScriptedEngine, exchanges: Exchanges
) -> None:
    """Not in `response.completed`; and a plain one is a 503."""
    with (
        new_gateway(ZEPHYR_LOG_COMMIT_DEADLINE="0.5", **WITHOUT_SPOOL) as gateway,
        gateway.openai() as client,
        locked(exchanges),
    ):
        events = list(client.responses.create(model=MODEL, input="Hi", stream=True))
        assert events[-1].type == "error"
        assert events[-1].code == "log_unavailable"
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert not {"response.completed", "response.failed"} & {event.type for event in events}
        with pytest.raises(openai.InternalServerError) as caught:
            client.responses.create(model=MODEL, input="Hi")
        assert caught.value.status_code == 503


def test_chain_goes_on_without_postgresql(
    new_gateway: NewGateway, engine: ScriptedEngine, server: PostgresServer
) -> None:
    """What this gateway has said it can go on from and show; what needs PostgreSQL is refused; afterwards all is there."""
    with new_gateway(DATABASE_URL=server.url) as gateway, gateway.openai() as client:
        conversation = client.conversations.create()
        server.kill()
        first = client.responses.create(model=MODEL, input="one")
        second = client.responses.create(model=MODEL, input="two", previous_response_id=first.id)
        shown = [m["content"] for m in engine.seen[-1].json["messages"]]
        assert shown == ["one", "Hello, world.", "two"]
        assert client.responses.retrieve(second.id) == second
        for fields in ({"background": True}, {"conversation": conversation.id}):
            asked: Any = {"model": MODEL, "input": "x"} | fields
            with pytest.raises(openai.InternalServerError) as caught:
                client.responses.create(**asked)
            assert (caught.value.status_code, caught.value.code) == (503, "log_unavailable")
        server.start()
        gateway.wait_until_ready()
        assert client.responses.retrieve(second.id) == second
        patient = client.with_options(max_retries=5)
        patient.responses.create(model=MODEL, input="three", conversation=conversation.id)


def test_background_response_outlives_an_absence_of_postgresql(
    new_gateway: NewGateway, engine: ScriptedEngine, server: PostgresServer
) -> None:
    """Shorter than its lease: the answer and every event of it are there."""
    engine.script = Script(pieces=("word ",) * 30, pause=0.1)
    with new_gateway(DATABASE_URL=server.url) as gateway, gateway.openai() as client:
        stream: Any = client.responses.create(model=MODEL, input="Hi", background=True, stream=True)
        id = next(iter(stream)).response.id
        engine.wait_for(1)
        server.kill()
        stream.close()
        engine.one().wait(1.0)
        server.start()
        gateway.wait_until_ready()
        events = list(client.with_options(max_retries=5).responses.retrieve(id, stream=True))
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert events[-1].type == "response.completed"
        assert sum(event.type == "response.output_text.delta" for event in events) == 30
