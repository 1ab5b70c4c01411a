"""The engine's port: what goes in comes out, and what ends on one side ends on the other."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from serving.engine.port import Port
from tests.acceptance.gateway import free_port
from tests.integration.serving.test_supervisor import until


class Server:
    """A server on a socket that sends everything back, or nothing at all."""

    def __init__(self) -> None:
        self.open = 0
        self.reads = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while piece := await reader.read(2**16):
                writer.write(piece)
                await writer.drain()
                while not self.reads:
                    await asyncio.sleep(0.01)
        finally:
            self.open -= 1
            writer.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="zephyr-") as name:
        yield Path(name)


@pytest.fixture
async def server(folder: Path) -> AsyncIterator[Server]:
    server = Server()
    async with await asyncio.start_unix_server(server.serve, folder / "engine.sock"):
        yield server


@pytest.fixture
def number() -> int:
    return free_port()


@pytest.fixture
async def port(folder: Path, server: Server, number: int) -> AsyncIterator[Port]:
    port = Port("127.0.0.1", number, 2)
    await port.open(folder / "engine.sock")
    yield port
    port.close()


async def test_bytes_come_back_whole_and_in_order(port: Port, number: int) -> None:
    """More of them than any buffer holds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", number)
    sent = bytes(range(256)) * 2**15
    writer.write(sent)
    assert await reader.readexactly(len(sent)) == sent
    writer.close()


async def test_client_that_leaves_is_gone_for_the_engine(port: Port, number: int, server: Server) -> None:
    """So that its generation stops."""
    _, writer = await asyncio.open_connection("127.0.0.1", number)
    writer.write(b"x")
    await until(lambda: server.open == 1)
    writer.transport.abort()
    await until(lambda: server.open == 0)


async def test_what_is_connected_is_cut_when_the_engine_goes(port: Port, number: int) -> None:
    """And nothing new is taken."""
    reader, writer = await asyncio.open_connection("127.0.0.1", number)
    writer.write(b"x")
    await reader.readexactly(1)
    port.close()
    assert await asyncio.wait_for(reader.read(), 2) == b""
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", number)


async def test_connections_are_bounded(port: Port, number: int) -> None:
    """One more than allowed is closed, and there is room again when another leaves."""
    connections = [await asyncio.open_connection("127.0.0.1", number) for _ in range(2)]
    for reader, writer in connections:
        writer.write(b"x")
        await reader.readexactly(1)
    assert not await answered(number)
    connections[0][1].close()
    for _ in range(200):
        if await answered(number):
            break
        await asyncio.sleep(0.01)
    else:
        pytest.fail("the place was not free again")
    connections[1][1].close()


async def test_engine_that_does_not_read_holds_its_client_back(
    port: Port, number: int, server: Server
) -> None:
    """What is not taken is not kept in memory."""
    server.reads = False
    _, writer = await asyncio.open_connection("127.0.0.1", number)
    writer.write(bytes(64 * 2**20))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(writer.drain(), 0.5)
    server.reads = True
    writer.transport.abort()


async def answered(number: int) -> bool:
    """Whether a new connection is served."""
    reader, writer = await asyncio.open_connection("127.0.0.1", number)
    writer.write(b"x")
    try:
        return await reader.read(1) == b"x"
    except ConnectionError:
        return False
    finally:
        writer.close()
