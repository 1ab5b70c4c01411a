"""What overload is tried on: the real gateway as a process, a real PostgreSQL, a scripted engine, and what they hold."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from adapters.database.migrate import migrate
from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import Gateway
from tests.databases import PostgresServer, log_settings
from tests.fakes.engine import ScriptedEngine

MIB = 2**20
KEPT = 12
"""Files of a gateway that come and go with its work: eight connections to the database, a few to the engine."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """What the parts hold at one moment."""

    memory: int
    """Of the gateway, in bytes."""
    files: int
    """Files and sockets of the gateway."""
    running: int
    """Generations at the engine."""


@dataclass(frozen=True, kw_only=True)
class Stand:
    """A gateway with what it needs."""

    gateway: Gateway
    scripted: ScriptedEngine | None
    exchanges: Exchanges

    @property
    def engine(self) -> ScriptedEngine:
        """The scripted engine, where it is one."""
        assert self.scripted is not None
        return self.scripted

    def held(self) -> Held:
        """Look."""
        files = len(list(Path(f"/proc/{self.gateway.process.pid}/fd").iterdir()))
        return Held(memory=self.gateway.memory_bytes(), files=files, running=self.engine.running)

    def seconds_until(self, true: Callable[[Held], bool], limit: float) -> float:
        """How long it takes until what is held is so.

        Raises:
            TimeoutError: longer than `limit` seconds.
        """
        began = time.monotonic()
        while not true(held := self.held()):
            if time.monotonic() - began > limit:
                raise TimeoutError(f"still {held} after {limit} s")
            time.sleep(0.02)
        return time.monotonic() - began


@contextmanager
def stand(database_url: str | None = None, **settings: str) -> Iterator[Stand]:
    """All parts for one trial, with the gateway's settings by their variables' names; with a database of its own, or this."""
    with (
        tempfile.TemporaryDirectory(prefix="zephyr-") as folder,
        # As the host runs it. By TCP the system keeps megabytes of every answer that nobody takes, for the engine.
        ScriptedEngine(Path(folder) / "engine.sock") as engine,
        stand_before(engine.url, engine, database_url, **settings) as parts,
    ):
        yield parts


@contextmanager
def stand_before(
    url: str, engine: ScriptedEngine | None = None, database_url: str | None = None, **settings: str
) -> Iterator[Stand]:
    """The same before an engine that runs already."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zephyr-")))
        database_url = database_url or stack.enter_context(_database())
        environment = {"ENGINE_URL": url, "DATABASE_URL": database_url} | settings
        gateway = stack.enter_context(Gateway(folder / "gateway.log", **environment))
        yield Stand(gateway=gateway, scripted=engine, exchanges=Exchanges(database_url))


@contextmanager
def _database() -> Iterator[str]:
    server = PostgresServer()
    try:
        asyncio.run(migrate(log_settings(server.url)))
        yield server.url
    finally:
        server.close()


def percentile(values: list[float], share: float) -> float:
    """The value that so large a share stays below or at; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
