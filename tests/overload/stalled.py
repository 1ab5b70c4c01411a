"""Clients that do not read what they asked for (R13), and clients that do not send what they began (R14)."""

import asyncio
import contextlib
import socket
import time
from dataclasses import dataclass

from tests.fakes.engine import Script
from tests.overload.asking import Seen, ask, request
from tests.overload.stand import KEPT, Stand, percentile, stand

LONG = Script(pieces=("x" * 2048,) * 100_000)
TOKENS = Script(pieces=(" token",) * 100_000)
"""As a model's events are: far more beside the text than text."""
HALF = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: loc",
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    b'content-length: 1000\r\n\r\n{"mess',
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    b"transfer-encoding: chunked\r\n\r\n400\r\n{",
    b"",
)
"""Requests that stop in the head, in a body, in a chunk, before anything."""
_ASKS = 500
_RECORDED_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class Report:
    """What many stalled clients cost, and what was left of them."""

    clients: int
    memory_each: float
    """Bytes of the gateway for each of them, at the most."""
    first_alone: float
    """Others' first event, 99th percentile, before."""
    first_beside: float
    cut_after: float
    """Seconds from the first of them to the end of the last."""
    files_left: int
    running_left: int
    outcomes: dict[str, int]
    """Of the exchanges that they left."""
    others_answered: bool

    def describe(self) -> str:
        """As the document shows it."""
        return (
            f"{self.clients} clients, {self.memory_each / 1024:.0f} KiB each; others' first event p99 "
            f"{self.first_alone * 1000:.1f} ms alone, {self.first_beside * 1000:.1f} ms beside them, all answered: "
            f"{self.others_answered}\nall cut off after {self.cut_after:.1f} s; left: {self.files_left} files, "
            f"{self.running_left} generations at the engine; recorded {self.outcomes}"
        )


def readers(
    count: int, send_timeout: float, pieces: Script = LONG, database_url: str | None = None
) -> Report:
    """Clients that read one byte a second, if that."""
    places = str(count + 16)  # so that none of them waits for another's
    with stand(
        database_url,
        ZEPHYR_SEND_TIMEOUT=str(send_timeout),
        ZEPHYR_MAX_OPEN_GENERATIONS=places,
        ZEPHYR_ENGINE_CONCURRENCY=places,
    ) as parts:
        parts.engine.scripts["stalled"] = pieces
        return asyncio.run(_try(parts, count, send_timeout, [request("stalled", stream=True)]))


def senders(count: int, body_timeout: float, database_url: str | None = None) -> Report:
    """Clients that never end what they began to send."""
    with stand(database_url, ZEPHYR_BODY_TIMEOUT=str(body_timeout)) as parts:
        return asyncio.run(_try(parts, count, body_timeout, HALF))


async def _try(
    parts: Stand, count: int, patience: float, beginnings: list[bytes] | tuple[bytes, ...]
) -> Report:
    port = parts.gateway.port
    alone = await _others(port)
    before = parts.held()
    began = time.monotonic()
    sockets = []
    for number in range(count):
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.setblocking(False)
        await asyncio.get_running_loop().sock_connect(one, ("127.0.0.1", port))
        await asyncio.get_running_loop().sock_sendall(one, beginnings[number % len(beginnings)])
        sockets.append(one)
    dripping = asyncio.create_task(_read_a_byte_a_second(sockets))
    await _until_still(parts, patience / 2)
    most = parts.held().memory
    beside = await _others(port)
    most = max(most, parts.held().memory)
    await asyncio.to_thread(
        parts.seconds_until, lambda held: held.files <= before.files + KEPT, 3 * patience + 30
    )
    cut_after = time.monotonic() - began
    dripping.cancel()
    for one in sockets:
        one.close()
    await asyncio.to_thread(parts.gateway.wait_until_ready)
    outcomes = await asyncio.to_thread(_recorded, parts)
    held = parts.held()
    return Report(
        clients=count,
        memory_each=(most - before.memory) / count,
        first_alone=percentile([one.first for one in alone], 0.99),
        first_beside=percentile([one.first for one in beside], 0.99),
        cut_after=cut_after,
        files_left=max(0, held.files - before.files - KEPT),
        running_left=held.running,
        outcomes=outcomes,
        others_answered=all(one.kind == "answered" for one in (*alone, *beside)),
    )


async def _until_still(parts: Stand, seconds: float) -> None:
    """Until the engine sends nothing more, because nobody takes it; or for so long."""
    sent, until = -1, time.monotonic() + seconds
    while sent != (sent := sum(seen.sent_bytes for seen in parts.engine.seen)) and time.monotonic() < until:
        await asyncio.sleep(min(1.0, seconds / 4))


def _recorded(parts: Stand) -> dict[str, int]:
    """The outcomes of the stalled ones, once all that the engine has seen are recorded."""
    query = "SELECT outcome, count(*) FROM exchanges WHERE input::text LIKE '%stalled%' GROUP BY 1"
    stalled = sum(b"stalled" in seen.body for seen in parts.engine.seen)
    until = time.monotonic() + _RECORDED_SECONDS
    while True:
        outcomes = {row["outcome"]: row["count"] for row in parts.exchanges.sql(query)}
        if sum(outcomes.values()) >= stalled or time.monotonic() > until:
            return outcomes
        time.sleep(0.1)


async def _others(port: int) -> list[Seen]:
    """What somebody else sees meanwhile."""
    return [await ask(port, "hello") for _ in range(_ASKS)]


async def _read_a_byte_a_second(sockets: list[socket.socket]) -> None:
    while True:
        await asyncio.sleep(1.0)
        for one in sockets:
            with contextlib.suppress(OSError):
                one.recv(1)
