"""A stream is cut into whole events whatever the network does to it, and read for what it says."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.completions import events
from adapters.completions.events import DONE, EventReader
from adapters.engine.connection import Connection
from adapters.engine.errors import EngineBroke
from adapters.errors import GatewayError

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
texts = st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=12)
bodies = st.lists(texts.map(lambda text: b"data: " + text.encode() + b"\n\n"), min_size=1, max_size=8)


def arrive(connection: Connection, data: bytes) -> None:
    """What the event loop does with bytes that have come, as many at once as there is room for."""
    while data:
        room = connection.get_buffer(-1)
        size = min(len(room), len(data))
        room[:size] = data[:size]
        connection.buffer_updated(size)
        data = data[size:]


async def read(parts: list[bytes]) -> list[bytes]:
    """What a reader makes of a body that comes in these parts."""
    connection = Connection()
    connection.send(b"", b"", first_byte_timeout=60, idle_timeout=60)
    arrive(connection, HEAD)
    reader, pieces = EventReader(connection), []
    for part in parts:
        arrive(connection, b"%x\r\n%b\r\n" % (len(part), part))
        task = asyncio.ensure_future(reader.next())
        await asyncio.sleep(0)
        if task.done():
            pieces.append(task.result())
        else:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    arrive(connection, b"0\r\n\r\n")
    while piece := await reader.next():
        pieces.append(piece)
    return pieces


@given(bodies, st.lists(st.integers(1, 200), max_size=10))
def test_any_split_gives_whole_events(body: list[bytes], cuts: list[int]) -> None:
    """Nothing is lost or changed, and no piece ends within an event."""
    whole = b"".join(body)
    edges = [0, *sorted({cut for cut in cuts if cut < len(whole)}), len(whole)]
    pieces = asyncio.run(read([whole[start:end] for start, end in pairwise(edges)]))
    assert b"".join(pieces) == whole
    assert all(piece.endswith(b"\n\n") for piece in pieces)


def test_events_with_carriage_returns_are_cut_too() -> None:
    assert asyncio.run(read([b"data: a\r\n\r\ndata: b", b"\r\n\r\n"])) == [
        b"data: a\r\n\r\n",
        b"data: b\r\n\r\n",
    ]


def test_an_unfinished_event_is_not_passed_on() -> None:
    """What is left at the end of a stream was never an event."""
    assert asyncio.run(read([b"data: a\n\ndata: b"])) == [b"data: a\n\n"]


def test_an_event_without_end_is_given_up() -> None:
    """The engine cannot fill the gateway's memory with one event."""
    with pytest.raises(EngineBroke):
        asyncio.run(read([b"data: " + b"x" * 2**20] * 5))


@pytest.mark.parametrize(
    ("piece", "special"),
    [
        (b'data: {"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}\n\n', False),
        (b'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}\n\n', True),
        (rb'data: {"choices":[{"delta":{"content":"{\"error\": \"choices\":[]"}}]}' + b"\n\n", False),
        (DONE, True),
        (b'data: {"id":"x","choices":[],"usage":{"prompt_tokens":1}}\n\n', True),
        (b'data: {"error":{"message":"x"}}\n\n', True),
        (b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"abort"}]}\n\n', True),
        (b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"error"}]}\n\n', True),
    ],
)
def test_only_special_pieces_are_looked_at(piece: bytes, special: bool) -> None:
    """Ordinary text is passed on unread, also where it quotes what is special."""
    assert events.needs_a_look(piece) is special


def test_split_keeps_every_byte() -> None:
    piece = b": keep-alive\n\ndata: a\n\ndata: [DONE]\n\n"
    assert events.split(piece) == [b": keep-alive\n\n", b"data: a\n\n", DONE]
    assert [events.data(event) for event in events.split(piece)] == [b"", b"a", b"[DONE]"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"5", b'{"choices":5}', b"\xff", b"[" * 50_000])
def test_what_vllm_does_not_write_is_a_broken_engine(body: bytes) -> None:
    with pytest.raises(EngineBroke):
        events.decode(body)


def test_error_is_read_as_one() -> None:
    """The engine's and our own, where an answer or an event was expected."""
    (chunk,) = events.chunks(GatewayError("No.").event())
    assert chunk.error == {"message": "No.", "type": "server_error", "param": None, "code": None}
