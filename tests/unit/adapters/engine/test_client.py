"""The pool of connections to the engine, against a scripted one."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from adapters.engine.client import EngineClient, read_all
from adapters.engine.connection import Connection
from adapters.engine.errors import EngineBroke, EngineTimeout, EngineUnavailable
from adapters.errors import GatewayError, ShuttingDown
from adapters.settings import EngineSettings
from tests.fakes.engine import Script, ScriptedEngine

NewClient = Callable[..., EngineClient]
BODY = json.dumps({"messages": [{"role": "user", "content": "x"}]}).encode()


@pytest.fixture
def engine() -> Iterator[ScriptedEngine]:
    with ScriptedEngine() as engine:
        yield engine


@pytest.fixture
async def client(engine: ScriptedEngine) -> AsyncIterator[NewClient]:
    """Makes clients of the scripted engine, and closes them."""
    made: list[EngineClient] = []

    def make(**settings: float) -> EngineClient:
        made.append(EngineClient(EngineSettings(engine_url=engine.url, **settings)))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.close()
    await asyncio.sleep(0.01)  # asyncio closes sockets a little later


def unattended(_: Connection) -> None:
    """Nobody stops these."""


async def ask(one: EngineClient) -> bytes:
    connection = await one.post("/v1/chat/completions", BODY, "id", unattended, b"session")
    try:
        return await read_all(connection, 10**6)
    finally:
        one.release(connection)


async def test_a_connection_is_used_again(client: NewClient, engine: ScriptedEngine) -> None:
    one = client()
    for _ in range(3):
        assert b"Hello" in await ask(one)
    assert len({seen.connection for seen in engine.seen}) == 1


async def test_a_connection_is_kept_for_less_than_the_engine_keeps_it(
    client: NewClient, engine: ScriptedEngine
) -> None:
    one = client(engine_keep_alive=0.05)
    await ask(one)
    await asyncio.sleep(0.1)
    await ask(one)
    assert len({seen.connection for seen in engine.seen}) == 2


async def test_a_connection_that_was_not_read_to_its_end_is_closed(
    client: NewClient, engine: ScriptedEngine
) -> None:
    """Closing is what stops the engine's work."""
    engine.script = Script(stop_after=10, ending="hang")
    one = client()
    connection = await one.post("/v1/chat/completions", BODY, "id", unattended, b"session")
    one.release(connection)
    assert await asyncio.to_thread(engine.one().wait, 1.0) == "aborted"


async def test_a_connection_that_is_held_back_is_not_used_again(
    client: NewClient, engine: ScriptedEngine
) -> None:
    """Whoever gave up a long answer that came whole meanwhile leaves it deaf."""
    engine.script = Script(pieces=("x" * 10_000,))  # more than is let wait, and whole after one read
    one = client()
    connection = await one.post("/v1/chat/completions", BODY, "id", unattended, b"session")
    async with asyncio.timeout(2):
        while not connection.complete:
            await asyncio.sleep(0.01)
    assert connection.held_back
    one.release(connection)
    engine.script = Script()
    async with asyncio.timeout(2):
        assert b"Hello" in await ask(one)


async def test_a_kept_connection_that_was_closed_is_replaced(
    client: NewClient, engine: ScriptedEngine
) -> None:
    one = client()
    await ask(one)
    engine.drops_reused_connections = True
    assert b"Hello" in await ask(one)
    assert len(engine.seen) == 2


async def test_a_fresh_connection_that_breaks_is_not_replaced(
    client: NewClient, engine: ScriptedEngine
) -> None:
    engine.script = Script(raw=b"", ending="close")
    with pytest.raises(EngineBroke):
        await ask(client())
    assert len(engine.seen) == 1


async def test_a_stopped_request_ends_with_the_reason(client: NewClient, engine: ScriptedEngine) -> None:
    engine.script = Script(silence=60)
    opened: list[Connection] = []
    asking = asyncio.ensure_future(
        client().post("/v1/chat/completions", BODY, "id", opened.append, b"session")
    )
    await asyncio.to_thread(engine.one)
    opened[0].stop(ShuttingDown())
    with pytest.raises(ShuttingDown):
        await asking
    assert await asyncio.to_thread(engine.one().wait, 1.0) == "aborted"


async def test_an_engine_that_is_not_there(client: NewClient, engine: ScriptedEngine) -> None:
    engine.stop()
    with pytest.raises(EngineUnavailable):
        await ask(client())


async def test_an_engine_that_says_nothing(client: NewClient, engine: ScriptedEngine) -> None:
    engine.script = Script(silence=60)
    with pytest.raises(EngineTimeout):
        await ask(client(engine_first_byte_timeout=0.05))


async def test_a_large_answer_is_given_up(client: NewClient, engine: ScriptedEngine) -> None:
    engine.script = Script(pieces=("x" * 1000,) * 2000)
    with pytest.raises(GatewayError, match="larger"):
        await ask(client())


async def test_a_probe_has_its_own_patience(client: NewClient, engine: ScriptedEngine) -> None:
    assert (await client().get("/v1/models"))[0] == 200
    assert (await client().get("/nothing"))[0] == 404
