"""A rolling upgrade under load: gateways of the version before, the migration, gateways of this one, and then only these."""

import asyncio
import os
import random
import subprocess
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from adapters.database.migrate import migrate
from adapters.database.schema import MIGRATIONS, newest
from tests.acceptance.gateway import ROOT, Gateway
from tests.chaos.clients import Clients
from tests.chaos.history import History, Verdict
from tests.chaos.run import EchoingEngine
from tests.databases import fetch, log_settings

_SETTLE_SECONDS = 30.0
_STOP_SECONDS = 30.0


class NoHistory(Exception):
    """The version before cannot be had: this is no clone with its history."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is to happen."""

    gateways: int = 1
    """Of each version."""
    seconds: float = 1.0
    """Of load between two steps."""
    clients: int = 4
    commit: str | None = None
    """Of the version before; without it, the last one whose schema was one revision older."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What happened."""

    commit: str
    revisions: tuple[str, str]
    acknowledged: dict[str, int]
    """By step."""
    statuses: Counter[int | None]
    verdict: Verdict
    migration_seconds: float


class GatewayOf(Gateway):
    """A gateway of the version whose files are in a folder."""

    def __init__(self, tree: Path, log: Path, **environment: str) -> None:
        super().__init__(log, **environment)
        self._tree = tree

    def start(self) -> None:
        """Start the process, and do not wait."""
        command = [sys.executable, "-m", "adapters"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self._tree, env=self._environment, stdout=log, stderr=log
            )


async def roll(plan: Plan, url: str, folder: Path) -> Report:
    """Upgrade an empty database and its gateways.

    Raises:
        NoHistory: there is no version before.
    """
    commit = plan.commit or commit_before()
    tree = unpacked(commit, folder / "before")
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "DATABASE_URL": url}
    command = [sys.executable, "-m", "adapters", "migrate"]
    await asyncio.to_thread(
        subprocess.run, command, cwd=tree, env=environment, check=True, stdout=subprocess.DEVNULL
    )
    before = await _revision(url)
    with EchoingEngine() as engine:
        upgrade = _Upgrade(plan, url, folder, {"DATABASE_URL": url, "ENGINE_URL": engine.url})
        acknowledged, seconds = await upgrade.run(tree)
    query = "SELECT input::text, answer::text, outcome FROM exchanges"
    return Report(
        commit=commit,
        revisions=(before, await _revision(url)),
        acknowledged=acknowledged,
        statuses=Counter(asked.status for asked in upgrade.history.asked),
        verdict=upgrade.history.compare([dict(row) for row in await fetch(url, query)]),
        migration_seconds=seconds,
    )


class _Upgrade:
    """The clients, and the gateways that they ask at the moment."""

    def __init__(self, plan: Plan, url: str, folder: Path, environment: dict[str, str]) -> None:
        self.history = History()
        self._plan = plan
        self._url = url
        self._folder = folder
        self._environment = environment
        self._addresses: list[str] = []
        self._acknowledged: dict[str, int] = {}
        self._stack = AsyncExitStack()

    async def run(self, tree: Path) -> tuple[dict[str, int], float]:
        async with self._stack:
            old = [await self._started(tree, f"old-{number}") for number in range(self._plan.gateways)]
            clients = Clients(self._addresses, self.history, random.Random(1))
            async with asyncio.TaskGroup() as group:
                asking = [group.create_task(clients.ask_for_ever()) for _ in range(self._plan.clients)]
                await self._load("old gateways, old schema")
                began = time.monotonic()
                await migrate(log_settings(self._url))
                seconds = time.monotonic() - began
                await self._load("old gateways, new schema")
                new = [await self._started(ROOT, f"new-{number}") for number in range(self._plan.gateways)]
                await self._load("old and new side by side")
                for gateway in old:
                    await self._retired(gateway)
                await self._load("new gateways")
                for task in asking:
                    task.cancel()
            for gateway in new:
                await self._settled(gateway)
        return self._acknowledged, seconds

    async def _started(self, tree: Path, name: str) -> Gateway:
        spool = self._folder / f"spool-{name}"
        gateway = GatewayOf(
            tree, self._folder / f"{name}.log", **self._environment, ZEPHYR_SPOOL_DIR=str(spool)
        )
        await asyncio.to_thread(gateway.start)
        self._stack.callback(gateway.kill)
        await asyncio.to_thread(gateway.wait_until_ready)
        self._addresses.append(gateway.url)
        return gateway

    async def _load(self, step: str) -> None:
        before = sum(asked.acknowledged for asked in self.history.asked)
        await asyncio.sleep(self._plan.seconds)
        self._acknowledged[step] = sum(asked.acknowledged for asked in self.history.asked) - before

    async def _retired(self, gateway: Gateway) -> None:
        """As a load balancer does it: no new requests, and then the stop."""
        self._addresses.remove(gateway.url)
        gateway.terminate()
        await asyncio.to_thread(gateway.process.wait, _STOP_SECONDS)

    async def _settled(self, gateway: Gateway) -> None:
        limit = time.monotonic() + _SETTLE_SECONDS
        while (await asyncio.to_thread(gateway.get, "/log/status")).json["spooled"]:
            assert time.monotonic() < limit, "the spool does not empty"
            await asyncio.sleep(0.1)


def commit_before() -> str:
    """The last commit of this branch whose schema was one revision older.

    Raises:
        NoHistory: it is not there.
    """
    (file,) = (MIGRATIONS / "versions").glob(f"{newest()}_*.py")
    found = _git("log", "--first-parent", "--diff-filter=A", "--format=%H", "-1", "HEAD", "--", str(file))
    return _git("rev-parse", "--verify", f"{found}^1") if found else _none()


def unpacked(commit: str, folder: Path) -> Path:
    """The files of a commit, in a new folder."""
    folder.mkdir()
    archive = subprocess.run(
        ["git", "archive", commit, "adapters"], cwd=ROOT, capture_output=True, check=False
    )
    if archive.returncode:
        _none()
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        _none()
    return done.stdout.strip() if done.returncode == 0 else _none()


def _none() -> str:
    raise NoHistory("the commit before the newest migration is not in this clone")


async def _revision(url: str) -> str:
    revision: str = (await fetch(url, "SELECT version_num FROM alembic_version"))[0][0]
    return revision
