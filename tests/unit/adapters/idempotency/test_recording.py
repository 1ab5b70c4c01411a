"""A recording: what each client sees, what is kept when, and when the work is given up."""

import asyncio

import pytest
from starlette.types import Message

from adapters.access.client import ClientGone
from adapters.conversations.errors import NotRecorded
from adapters.errors import GatewayError, Overloaded
from adapters.idempotency.answer import Answer
from adapters.idempotency.errors import AnswerTooLarge
from adapters.idempotency.recording import Recording

EVENTS = [(b"content-type", b"text/event-stream")]
JSON = [(b"content-type", b"application/json")]
LINES = [(b"content-type", b"application/x-ndjson")]
REPLAYED = (b"idempotent-replayed", b"true")


class Disk:
    """Keeps answers, once it is told to go on."""

    def __init__(self, error: GatewayError | None = None) -> None:
        self.kept: list[Answer] = []
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self._error = error

    async def keep(self, answer: Answer) -> None:
        await self.goes_on.wait()
        if self._error is not None:
            raise self._error
        self.kept.append(answer)


class Reader:
    """A client that follows a recording."""

    def __init__(self, recording: Recording, *, joined: bool = False) -> None:
        self.sent: list[Message] = []
        self._left = asyncio.Event()
        self.task = asyncio.create_task(recording.follow(self._receive, self._send, joined=joined))

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])

    def leave(self) -> None:
        self._left.set()

    async def _receive(self) -> Message:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)


def recording(disk: Disk, *, grace: float = 10.0, most_bytes: int = 1000) -> Recording:
    return Recording(b"{}", keep=disk.keep, grace=grace, most_bytes=most_bytes)


async def begin(one: Recording, headers: list[tuple[bytes, bytes]], status: int = 200) -> None:
    await one.send({"type": "http.response.start", "status": status, "headers": headers})


async def say(one: Recording, body: bytes, *, more: bool = True) -> None:
    await one.send({"type": "http.response.body", "body": body, "more_body": more})
    await asyncio.sleep(0)


async def test_each_client_sees_all_from_the_start() -> None:
    one = recording(Disk())
    first = Reader(one)
    await begin(one, EVENTS)
    await say(one, b"data: 1\n\n")
    second = Reader(one, joined=True)
    await say(one, b"data: [DONE]\n\n")
    await say(one, b"", more=False)
    await asyncio.gather(first.task, second.task)
    assert first.body == second.body == b"data: 1\n\ndata: [DONE]\n\n"
    assert first.sent[0]["headers"] == EVENTS
    assert second.sent[0]["headers"] == [*EVENTS, REPLAYED]
    assert [message["more_body"] for message in second.sent[1:]][-1] is False


async def test_last_bytes_wait_for_the_disk() -> None:
    """Of a plain answer that is the status too."""
    for headers, piece, shown in ((EVENTS, b"data: [DONE]\n\n", 1), (JSON, b"{}", 0)):
        disk = Disk()
        disk.goes_on.clear()
        one = recording(disk)
        reader = Reader(one)
        await begin(one, headers)
        ending = asyncio.create_task(say(one, piece, more=headers is EVENTS))
        await asyncio.sleep(0.01)
        assert (len(reader.sent), reader.body, one.kept) == (shown, b"", False)
        disk.goes_on.set()
        await ending
        assert (reader.body, one.kept, one.open) == (piece, True, True)
        assert disk.kept == [Answer(headers, piece)]
        if not one.ended:
            await say(one, b"", more=False)
        await reader.task


async def test_answer_that_could_not_be_kept_does_not_end_well() -> None:
    """A plain one is an error, a stream has an error for its end, lines have no end at all."""
    one = recording(Disk(NotRecorded()))
    reader = Reader(one)
    await begin(one, JSON)
    await say(one, b"{}", more=False)
    with pytest.raises(NotRecorded):
        await reader.task
    assert reader.sent == []

    one = recording(Disk(NotRecorded()))
    reader = Reader(one)
    await begin(one, EVENTS)
    await say(one, b"data: [DONE]\n\n")
    await say(one, b"", more=False)
    await reader.task
    assert reader.body == NotRecorded().event()

    one = recording(Disk(NotRecorded()))
    reader = Reader(one)
    await begin(one, LINES)
    await say(one, b'{"index":0}\n')
    await say(one, b"", more=False)
    await reader.task
    assert all(message["more_body"] for message in reader.sent[1:])
    assert not one.open


async def test_errors_and_broken_streams_are_not_kept() -> None:
    """They are shown to whoever follows, and nobody else may."""
    disk = Disk()
    for status, headers, body in ((503, JSON, b"{}"), (200, EVENTS, b'data: {"error": {}}\n\n')):
        one = recording(disk)
        reader = Reader(one)
        await begin(one, headers, status)
        await say(one, body, more=False)
        await reader.task
        assert (reader.sent[0]["status"], reader.body, one.open) == (status, body, False)
    assert disk.kept == []


async def test_error_before_the_first_byte_is_raised_to_all() -> None:
    one = recording(Disk())
    readers = [Reader(one), Reader(one, joined=True)]
    await asyncio.sleep(0)
    one.fail(Overloaded())
    results = await asyncio.gather(*(reader.task for reader in readers), return_exceptions=True)
    assert [type(result) for result in results] == [Overloaded, Overloaded]
    assert not one.open


async def test_crash_in_a_stream_is_told_in_it() -> None:
    one = recording(Disk())
    reader = Reader(one)
    await begin(one, EVENTS)
    await say(one, b"data: 1\n\n")
    one.fail(Overloaded())
    await reader.task
    assert reader.body == b"data: 1\n\n" + Overloaded().event()


async def test_work_goes_on_for_a_while_without_clients() -> None:
    """The application is told only when nobody has come back in time."""
    one = recording(Disk(), grace=0.1)
    assert (await one.receive())["body"] == b"{}"
    told = asyncio.create_task(one.receive())
    first = Reader(one)
    await begin(one, EVENTS)
    await asyncio.sleep(0.15)  # the client is watched by now
    first.leave()
    with pytest.raises(ClientGone):
        await first.task
    second = Reader(one, joined=True)
    await asyncio.sleep(0.2)
    assert not told.done()
    assert one.open
    second.leave()
    with pytest.raises(ClientGone):
        await second.task
    assert not told.done()
    assert await asyncio.wait_for(told, 1) == {"type": "http.disconnect"}
    assert not one.open


async def test_answer_that_nobody_waits_for_any_more_is_not_kept() -> None:
    """What the application makes of a client that has left is no answer, however well it ends."""
    disk = Disk()
    one = recording(disk, grace=0.0)
    reader = Reader(one)
    await begin(one, LINES)
    await asyncio.sleep(0.15)
    reader.leave()
    with pytest.raises(ClientGone):
        await reader.task
    await asyncio.sleep(0.01)
    await say(one, b"", more=False)
    assert disk.kept == []


async def test_recording_has_a_bound() -> None:
    """Beyond it the work is given up and the clients are told."""
    one = recording(Disk(), most_bytes=10)
    await one.receive()
    reader = Reader(one)
    await begin(one, JSON)
    await say(one, b"x" * 11, more=False)
    with pytest.raises(AnswerTooLarge):
        await reader.task
    assert await one.receive() == {"type": "http.disconnect"}


async def test_replay_is_what_was_kept() -> None:
    one = recording(Disk())
    reader = Reader(one)
    one.replay(Answer(JSON, b"{}"))
    await reader.task
    assert reader.sent == [
        {"type": "http.response.start", "status": 200, "headers": [*JSON, REPLAYED]},
        {"type": "http.response.body", "body": b"{}", "more_body": False},
    ]
