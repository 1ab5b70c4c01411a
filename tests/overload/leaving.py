"""Clients that leave at any moment, by the thousand (R15): nothing of them is left."""

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from tests.fakes.engine import Script
from tests.overload.asking import request
from tests.overload.stand import KEPT, MIB, Held, Stand, stand

AT_ONCE = 64
_WATCHED = 2
TALK = Script(pieces=("word ",) * 20, pause=0.02)
"""Slow enough that also on a busy machine many leave before its end."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was left after so many."""

    disconnects: int
    began: int
    """Of them had begun a generation."""
    idle_after: float
    """Seconds from the last one until the engine worked on nothing."""
    memory_growth: tuple[int, int]
    """Of the gateway, in bytes, over the first half and over the second, in which a leak would show."""
    files_left: int
    engine_connections: int
    outcomes: Counter[str]
    unrecorded: int
    """Generations that the engine has seen and the log has not."""

    def describe(self) -> str:
        """As the document shows it."""
        first, second = self.memory_growth
        return (
            f"{self.disconnects} clients left, {self.began} of them with a generation begun; the engine idle after "
            f"{self.idle_after:.2f} s; memory {first / MIB:+.1f} MiB and then {second / MIB:+.1f} MiB, files left {self.files_left}, "
            f"connections to the engine {self.engine_connections}\nrecorded {dict(self.outcomes)}, not recorded "
            f"{self.unrecorded}"
        )


def measure(count: int, seed: int = 1, database_url: str | None = None) -> Report:
    """Have so many clients leave, at random moments of sending and reading, politely and not."""
    with stand(database_url, ZEPHYR_ENGINE_KEEP_ALIVE="0.5") as parts:
        parts.engine.script = TALK
        chance = random.Random(seed)
        asyncio.run(leave(parts.gateway.port, min(count, 2 * AT_ONCE), chance))  # warm
        parts.seconds_until(_idle(parts), 10)
        before, seen_before = parts.held(), len(parts.engine.seen)
        asyncio.run(leave(parts.gateway.port, count // 2, chance))
        half_way = parts.held().memory
        asyncio.run(leave(parts.gateway.port, count - count // 2, chance))
        idle_after = parts.seconds_until(lambda held: held.running == 0, 10)
        parts.seconds_until(_idle(parts), 10)
        parts.seconds_until(lambda held: held.files <= before.files + KEPT, 10)
        return _report(parts, count, idle_after, (before.memory, half_way), before.files, seen_before)


def _idle(parts: Stand) -> Callable[[Held], bool]:
    """Nothing runs, and the connections that were kept for what might come are closed but for the watch's."""
    return lambda held: held.running == 0 and parts.engine.connections <= _WATCHED


def _report(
    parts: Stand, count: int, idle_after: float, memory: tuple[int, int], files: int, seen_before: int
) -> Report:
    seen = parts.engine.seen[seen_before:]
    parts.exchanges.get(seen[-1].headers["x-request-id"])
    outcomes = {
        str(row["id"].hex): row["outcome"] for row in parts.exchanges.sql("SELECT id, outcome FROM exchanges")
    }
    recorded = [outcomes.get(one.headers["x-request-id"]) for one in seen]
    held = parts.held()
    return Report(
        disconnects=count,
        began=len(seen),
        idle_after=idle_after,
        memory_growth=(memory[1] - memory[0], held.memory - memory[1]),
        files_left=max(0, held.files - files - KEPT),
        engine_connections=parts.engine.connections,
        outcomes=Counter(outcome for outcome in recorded if outcome),
        unrecorded=sum(outcome is None for outcome in recorded),
    )


async def leave(port: int, count: int, chance: random.Random) -> None:
    """Have so many clients come and leave, a few at once."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(stream: bool, sent: float, read: int, pause: float, abruptly: bool) -> None:
        async with places:
            await _come_and_leave(port, request("hello", stream=stream), sent, read, pause, abruptly)

    await asyncio.gather(
        *(
            one(
                stream=chance.random() < 0.7,
                sent=chance.choice((chance.random(), 1.0, 1.0, 1.0)),
                read=chance.choice((0, 0, chance.randrange(1, 3000))),
                pause=chance.choice((0.0, chance.uniform(0, 0.1))),
                abruptly=chance.random() < 0.5,
            )
            for _ in range(count)
        )
    )


async def _come_and_leave(
    port: int, asked: bytes, sent: float, read: int, pause: float, abruptly: bool
) -> None:
    """Send a part, read a part, wait a little, go."""
    loop = asyncio.get_running_loop()
    with socket.socket() as one:
        one.setblocking(False)
        await loop.sock_connect(one, ("127.0.0.1", port))
        with suppress(OSError):
            await loop.sock_sendall(one, asked[: int(sent * len(asked))])
            while read > 0 and sent == 1.0 and (piece := await loop.sock_recv(one, read)):
                read -= len(piece)
            await asyncio.sleep(pause)
        if abruptly:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
