"""Real gateways, a real PostgreSQL and a scripted engine under load, while everything is killed, frozen and starved."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from adapters.database.migrate import migrate
from tests.acceptance.gateway import Gateway
from tests.chaos.clients import Clients
from tests.chaos.history import History, Verdict
from tests.databases import PostgresServer, fetch, log_settings
from tests.fakes import answers
from tests.fakes.answers import Json
from tests.fakes.engine import Script, ScriptedEngine

_SETTLE_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is to happen."""

    kills: int
    """Kills of a gateway or of PostgreSQL, at least."""
    acknowledged: int
    """Answers whose end a client saw, at least."""
    clients: int = 8
    seed: int = 1
    seconds: float = 3600.0
    """It ends after so long, whatever has happened by then."""


@dataclass(kw_only=True)
class Report:
    """What happened."""

    acts: Counter[str] = field(default_factory=Counter)
    verdict: Verdict
    asked: int
    statuses: Counter[int | None]
    longest_answer: float
    longest_restart: float
    seconds: float

    @property
    def kills(self) -> int:
        """How often something was killed."""
        return self.acts["gateway killed"] + self.acts["database killed"]


class EchoingEngine(ScriptedEngine):
    """Answers each question with a text that no other question gets."""

    def script_for(self, body: Json) -> Script:
        question = answers.last_user_text(body)
        return Script(pieces=(f"An answer to {question}", ":", *(f" word{n}" for n in range(8))), pause=0.002)


class Chaos:
    """Two gateways that share a folder for their spools, one of them with little room in it, and one database."""

    def __init__(self, plan: Plan, folder: Path, server: PostgresServer, engine: ScriptedEngine) -> None:
        self._plan = plan
        self._chance = random.Random(plan.seed)
        self._server = server
        common = {
            "DATABASE_URL": server.url,
            "ENGINE_URL": engine.url,
            "ZEPHYR_SPOOL_DIR": str(folder / "spool"),
            "ZEPHYR_LOG_PATIENCE": "0.5",
            "ZEPHYR_LOG_COMMIT_DEADLINE": "5",
        }
        self._gateways = [
            Gateway(folder / "roomy.log", **common),
            Gateway(folder / "narrow.log", **common, ZEPHYR_SPOOL_MAX_BYTES=str(2**20)),
        ]
        self._history = History()
        self._clients = Clients([gateway.url for gateway in self._gateways], self._history, self._chance)
        self._acts: Counter[str] = Counter()
        self._longest_restart = 0.0
        self._restarting: Gateway | None = None

    async def run(self) -> Report:
        """Do all that the plan says, let things settle, and hold the log against what clients saw."""
        began = time.monotonic()
        async with AsyncExitStack() as stack:
            for gateway in self._gateways:
                await asyncio.to_thread(gateway.start)
                stack.callback(_end, gateway)
            for gateway in self._gateways:
                await asyncio.to_thread(gateway.wait_until_ready)
            await self._trouble(began)
            await self._settle()
        query = "SELECT input::text, answer::text, outcome FROM exchanges"
        rows = [dict(row) for row in await fetch(self._server.url, query)]
        verdict = self._history.compare(rows)
        return Report(
            acts=self._acts,
            verdict=verdict,
            asked=len(self._history.asked),
            statuses=Counter(asked.status for asked in self._history.asked),
            longest_answer=self._clients.longest_seconds,
            longest_restart=self._longest_restart,
            seconds=time.monotonic() - began,
        )

    async def _trouble(self, began: float) -> None:
        async with asyncio.TaskGroup() as group:
            work = [group.create_task(self._clients.ask_for_ever()) for _ in range(self._plan.clients)]
            work.append(group.create_task(self._hurt((self._kill_gateway,))))
            work.append(group.create_task(self._hurt((self._freeze_gateway,))))
            work.append(group.create_task(self._hurt((self._kill_database, self._freeze, self._lock))))
            while not self._enough() and time.monotonic() - began < self._plan.seconds:
                await asyncio.sleep(0.1)
            for task in work:
                task.cancel()

    def _enough(self) -> bool:
        kills = self._acts["gateway killed"] + self._acts["database killed"]
        acknowledged = sum(asked.acknowledged for asked in self._history.asked)
        return kills >= self._plan.kills and acknowledged >= self._plan.acknowledged

    async def _hurt(self, acts: tuple[Callable[[], Awaitable[None]], ...]) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(0.05, 0.6))
            # An act that has begun is ended, so that the next one finds things as they should be.
            act = asyncio.ensure_future(self._chance.choice(acts)())
            try:
                await asyncio.shield(act)
            except asyncio.CancelledError:
                await act
                raise

    async def _kill_gateway(self) -> None:
        self._restarting = gateway = self._chance.choice(self._gateways)
        await asyncio.to_thread(gateway.kill)
        self._acts["gateway killed"] += 1
        began = time.monotonic()
        await asyncio.to_thread(gateway.start)
        await asyncio.to_thread(gateway.wait_until_alive)
        self._longest_restart = max(self._longest_restart, time.monotonic() - began)
        self._restarting = None

    async def _freeze_gateway(self) -> None:
        """Let it find all its deadlines passed when it goes on; it may be killed meanwhile."""
        gateway = self._chance.choice([one for one in self._gateways if one is not self._restarting])
        process = gateway.process
        process.send_signal(signal.SIGSTOP)
        self._acts["gateway frozen"] += 1
        await asyncio.sleep(self._chance.uniform(0.2, 2.5))
        process.send_signal(signal.SIGCONT)

    async def _kill_database(self) -> None:
        await asyncio.to_thread(self._server.kill)
        self._acts["database killed"] += 1
        await asyncio.sleep(self._chance.uniform(0.0, 1.5))
        await asyncio.to_thread(self._server.start)

    async def _freeze(self) -> None:
        await asyncio.to_thread(self._server.freeze)
        self._acts["database frozen"] += 1
        await asyncio.sleep(self._chance.uniform(0.2, 2.5))
        await asyncio.to_thread(self._server.thaw)

    async def _lock(self) -> None:
        """Let it read, and take nothing."""
        connection = await asyncpg.connect(self._server.url)
        async with connection.transaction():
            await connection.execute("LOCK TABLE exchanges IN EXCLUSIVE MODE")
            self._acts["database starved"] += 1
            await asyncio.sleep(self._chance.uniform(0.2, 1.5))
        await connection.close()

    async def _settle(self) -> None:
        """Restart both gateways, so that each spool has an owner, and wait until all spools are empty."""
        for gateway in self._gateways:
            await asyncio.to_thread(gateway.kill)
            await asyncio.to_thread(gateway.start)
        limit = time.monotonic() + _SETTLE_SECONDS
        for gateway in self._gateways:
            await asyncio.to_thread(gateway.wait_until_ready)
            while gateway.get("/log/status").json["spooled"]:
                assert time.monotonic() < limit, gateway.get("/log/status").json
                await asyncio.sleep(0.2)


def _end(gateway: Gateway) -> None:
    if gateway.process.poll() is None:
        gateway.kill()


async def unleash(plan: Plan, folder: Path) -> Report:
    """Run a plan with a server and an engine of its own."""
    server = await asyncio.to_thread(PostgresServer)
    try:
        await migrate(log_settings(server.url))
        with EchoingEngine() as engine:
            return await Chaos(plan, folder, server, engine).run()
    finally:
        await asyncio.to_thread(server.close)
