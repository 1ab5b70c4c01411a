"""Several gateways in front of one PostgreSQL and one router, each on a host of its own: what holds over all of them."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from adapters.access.callers import Limits
from adapters.database.migrate import migrate
from adapters.database.session import create_engine
from adapters.keys.key import Order
from adapters.keys.repository import KeyRepository
from serving import router
from serving.postgres import Postgres
from serving.process.child import Command
from serving.readiness import NoAnswer, ask
from serving.settings import CHECKOUT
from tests.databases import PostgresServer, log_settings, rows
from tests.replicas import load
from tests.replicas.network import Host, Network, NoNetwork

_START_SECONDS = 60.0
_SETTLE_SECONDS = 60.0
_Result = TypeVar("_Result")


@dataclass(frozen=True, kw_only=True)
class Stand:
    """What stands there."""

    gateways: Sequence[str]
    """Their addresses."""
    database_url: str
    database_host: Host
    key: str
    """Of a tenant without limits."""


class HostedPostgres(PostgresServer):
    """A PostgreSQL that other hosts reach by its address, and may use without a password."""

    def __init__(self, host: Host) -> None:
        self._host = host
        super().__init__()
        self.tcp_url = f"postgresql://postgres@{host.address}/zephyr"

    def start(self) -> None:
        self._postgres = _Postgres(self.home, self._host)
        super().start()


class _Postgres(Postgres):
    """Runs the host's own embedded PostgreSQL on another host."""

    def __init__(self, home: Path, host: Host) -> None:
        super().__init__(home, _START_SECONDS, lambda *_: None)
        self._host = host

    async def command(self) -> Command:
        plain = await super().command()
        access = self.folder / "data" / "pg_hba.conf"
        network = self._host.address.rpartition(".")[0]
        access.write_text(f"{access.read_text()}\nhost all all {network}.0/24 trust\n")
        account = [f"--reuid={plain.user}", f"--regid={plain.group}", "--clear-groups"] if plain.user else []
        argv = self._host.command(
            ["setpriv", *account, *plain.argv, "-c", f"listen_addresses={self._host.address}"]
        )
        return replace(plain, argv=argv, user=None, group=None)


@contextmanager
def stand(folder: Path, router_python: Path) -> Iterator[Stand]:
    """Two gateways, two engines, a router and a PostgreSQL, each on a host of its own.

    Raises:
        NoNetwork: this machine does not let us make hosts.
    """
    with ExitStack() as stack:
        network = stack.enter_context(Network())
        database_host, router_host, *engine_hosts = (network.host() for _ in range(4))
        server = HostedPostgres(database_host)
        stack.callback(server.close)

        def start(host: Host, name: str, argv: Sequence[str], **environment: str) -> None:
            log = stack.enter_context((folder / f"{name}.log").open("wb"))
            bare = {"PATH": os.environ["PATH"], "HOME": str(folder)}
            process = subprocess.Popen(
                host.command(argv), env=bare | environment, cwd=CHECKOUT, stdout=log, stderr=log
            )
            stack.callback(_end, process)

        for number, host in enumerate(engine_hosts):
            start(
                host,
                f"engine-{number}",
                [sys.executable, "-m", "tests.replicas.engine", host.address, "8000"],
            )
        workers = [f"http://{host.address}:8000" for host in engine_hosts]
        argv = [
            str(router_python),
            "-m",
            "vllm_router.launch_router",
            "--host",
            router_host.address,
            "--port",
            "8000",
        ]
        start(
            router_host, "router", [*argv, *router.ARGUMENTS, "--worker-urls", *workers], **router.ENVIRONMENT
        )
        asyncio.run(migrate(log_settings(server.tcp_url)))
        _, key = new_key(server.tcp_url, "everybody")
        gateways = [network.host() for _ in range(2)]
        for number, host in enumerate(gateways):
            settings = {
                "ZEPHYR_HOST": host.address,
                "ZEPHYR_PORT": "8000",
                "ZEPHYR_HOME": str(folder / f"home-{number}"),
                "DATABASE_URL": server.tcp_url,
                "ENGINE_URL": f"http://{router_host.address}:8000",
                "ZEPHYR_ENGINE_HEALTH_PATH": "/readiness",
                "ZEPHYR_ENGINE_TRIES": "2",
                "ZEPHYR_ENGINE_PROBE_SECONDS": "0.2",
                "ZEPHYR_LIMITS_PATIENCE": "10",  # a busy machine is no database that is away
            }
            start(host, f"gateway-{number}", [sys.executable, "-m", "adapters"], **settings)
        urls = [f"http://{host.address}:8000" for host in gateways]
        for url in urls:
            _until_ready(url, folder)
        yield Stand(gateways=urls, database_url=server.tcp_url, database_host=database_host, key=key)


def new_key(url: str, tenant: str, **limits: int) -> tuple[UUID, str]:
    """The id of a new key, and the key."""

    async def create(keys: KeyRepository) -> tuple[UUID, str]:
        key, secret = await keys.create(Order(tenant=tenant, limits=Limits(**limits)))
        return key.id, secret.get_secret_value()

    return _with_keys(url, create)


def _with_keys(url: str, use: Callable[[KeyRepository], Awaitable[_Result]]) -> _Result:
    async def work() -> _Result:
        engine = create_engine(log_settings(url))
        try:
            return await use(KeyRepository(engine))
        finally:
            await engine.dispose()

    return asyncio.run(work())


def _until_ready(url: str, folder: Path) -> None:
    limit = time.monotonic() + _START_SECONDS
    while not _is_ready(url):
        if time.monotonic() > limit:
            logs = "\n".join(f"{log.name}: {log.read_text()[-2000:]}" for log in folder.glob("*.log"))
            raise AssertionError(f"{url} did not become ready\n{logs}")
        time.sleep(0.1)


def _is_ready(url: str) -> bool:
    try:
        answer = ask(url, "/readyz")
    except NoAnswer:
        return False
    return answer.status == 200 and answer.json()["parts"]["engine"]["detail"].get("replicas") == {
        "ready": 2,
        "all": 2,
    }


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def keys_hold(stand: Stand) -> bool:
    """A key opens every gateway, and none after it is revoked; within how many seconds is said."""
    id, key = new_key(stand.database_url, "alice")
    opens = [_status(url, key) for url in stand.gateways]
    _with_keys(stand.database_url, lambda keys: keys.revoke(id))
    began = time.monotonic()
    while any(_status(url, key) != 401 for url in stand.gateways) and time.monotonic() - began < 10:
        time.sleep(0.05)
    seconds = time.monotonic() - began
    print(
        f"keys: a new one opens {opens.count(200)} of {len(opens)} gateways; revoked, none after {seconds:.1f} s"
    )
    return set(opens) == {200} and seconds < 5


def limits_hold(stand: Stand, allowed: int, asked: int) -> bool:
    """A limit is one over all gateways."""
    _, key = new_key(stand.database_url, "bob", requests_per_minute=allowed)
    with ThreadPoolExecutor(asked) as pool:
        answers = list(pool.map(lambda n: _status(stand.gateways[n % 2], key), range(asked)))
    counted = Counter(answers)
    print(f"limits: {allowed} requests a minute, {asked} asked of two gateways at once: {dict(counted)}")
    return counted == {200: allowed, 429: asked - allowed}


def threads_hold(stand: Stand, conversations: int, turns: int) -> bool:
    """A conversation that goes from gateway to gateway is one, and stays at one engine."""
    engines = Counter(_converse(stand, number, turns) for number in range(conversations))
    found = rows(
        stand.database_url,
        "SELECT conversation_id, count(*) AS turns, count(parent_id) AS parents FROM exchanges "
        "WHERE input::text LIKE '%conversation%' GROUP BY 1",
    )
    whole = [row for row in found if (row["turns"], row["parents"]) == (turns, turns - 1)]
    stayed = sum(count for engine, count in engines.items() if engine is not None)
    print(
        f"threads: {conversations} conversations of {turns} turns, each turn at the other gateway: {len(whole)} found "
        f"whole in the log, {stayed} stayed at one engine, of which {len(engines)} were met"
    )
    return len(whole) == len(found) == conversations == stayed and len(engines) == 2


def _converse(stand: Stand, number: int, turns: int) -> str | None:
    """The engine that all turns met; None if there were several."""
    messages: list[dict[str, str]] = []
    met: set[str] = set()
    for turn in range(turns):
        messages.append({"role": "user", "content": f"conversation {number}, turn {turn}"})
        seen = load.ask(
            stand.gateways[turn % 2], messages, stream=bool(turn % 2), max_tokens=32, key=stand.key
        )
        messages.append({"role": "assistant", "content": seen.text})
        met.add(seen.text.partition(" ")[0])
    return met.pop() if len(met) == 1 else None


def log_holds(stand: Stand, clients: int, seconds: float) -> bool:
    """While the database's cable is pulled, both gateways go on; afterwards each answer is in the log once."""
    with ExitStack() as stack:
        asked = [
            one
            for url in stand.gateways
            for one in (stack.enter_context(load.clients(url, url, clients, max_tokens=32, key=stand.key)),)
        ]
        time.sleep(seconds / 4)
        stand.database_host.unplug()
        time.sleep(seconds / 2)
        stand.database_host.plug()
        time.sleep(seconds / 4)
    seen = [one.result() for gateway in asked for one in gateway]
    endings = Counter(one.ending for one in seen)
    missing, twice = _in_the_log(stand, [one.question for one in seen])
    print(
        f"log: {len(seen)} answers of two gateways, the database unplugged for {seconds / 2:.0f} s: {dict(endings)}; in "
        f"the log afterwards: {len(missing)} missing, {len(twice)} twice"
    )
    return set(endings) == {"whole"} and not missing and not twice


def _in_the_log(stand: Stand, questions: Sequence[str]) -> tuple[set[str], set[str]]:
    """Which are missing once nothing more comes, and which are there twice."""
    limit = time.monotonic() + _SETTLE_SECONDS
    while True:
        found = rows(stand.database_url, "SELECT input::text FROM exchanges")
        counted = Counter(json.loads(row["input"])[-1]["content"] for row in found)
        missing = {question for question in questions if not counted[question]}
        if not missing or time.monotonic() > limit:
            return missing, {question for question in questions if counted[question] > 1}
        time.sleep(0.5)


def _status(url: str, key: str) -> int | None:
    return load.ask(url, [{"role": "user", "content": "hello"}], stream=False, max_tokens=8, key=key).status


def check(folder: Path, router_python: Path, clients: int, seconds: float) -> Mapping[str, bool]:
    """What holds.

    Raises:
        NoNetwork: this machine does not let us make hosts.
    """
    with stand(folder, router_python) as it:
        return {
            "keys": keys_hold(it),
            "limits": limits_hold(it, 3, 24),
            "threads": threads_hold(it, 16, 3),
            "log": log_holds(it, clients, seconds),
        }


def trial(clients: int, seconds: float) -> bool:
    """All of it, with the router of this checkout."""
    with tempfile.TemporaryDirectory(prefix="zephyr-") as folder:
        try:
            found = check(Path(folder), CHECKOUT / ".venv-router" / "bin" / "python", clients, seconds)
        except NoNetwork as error:
            print(f"not tried: {error}")
            return False
    return all(found.values())
