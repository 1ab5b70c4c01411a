"""vllm-router as a service: several engines behind one address, a conversation kept at the engine that knows it."""

import asyncio
import random
import socket
import sys
from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import quote

from serving.errors import CannotRun, HostError
from serving.process.child import Command, Run, inherited_environment
from serving.readiness import NoAnswer, ask, until_well
from serving.reporting import Tell
from serving.settings import CHECKOUT, Settings

_READY_POLL_SECONDS = 0.2
_ORDER_SECONDS = 15.0
_BELOW_EPHEMERAL = range(20_000, 32_768)  # where no connection that goes out takes a port by chance

# The same as in deploy/router.Dockerfile; why, is in decision 25.
ENVIRONMENT = {"RUST_LOG": "warn"}  # its --log-level does nothing, and it writes three lines for each request
ARGUMENTS = (
    *("--policy", "consistent_hash"),
    *("--health-check-interval-secs", "2", "--health-check-timeout-secs", "2"),
    *("--health-failure-threshold", "2", "--health-success-threshold", "1"),
    *("--retry-max-retries", "3", "--cb-failure-threshold", "2", "--cb-timeout-duration-secs", "2"),
    *("--max-payload-size", "8388608", "--request-timeout-secs", "3600"),
    *("--max-concurrent-requests", "8192", "--queue-size", "0"),
    *("--worker-startup-timeout-secs", "3600", "--worker-startup-check-interval", "1"),
)


MADE = CHECKOUT / ".venv-router" / "bin" / "python"
"""Of the environment that is made where it is missing."""


class Router:
    """The router of one host. It asks nobody who they are, and listens to this machine alone."""

    name = "router"

    def __init__(self, settings: Settings, engines: Sequence[str], run: Run, tell: Tell) -> None:
        """`engines` are the addresses of the engines, whether or not there is one yet."""
        self.start_seconds = settings.engine_start_seconds  # it is ready when the first engine is
        self.stop_seconds = settings.stop_seconds
        self._settings = settings
        self._engines = engines
        self._run = run
        self._tell = tell
        self._port, self._figures = free_ports(2)
        self.url = f"http://127.0.0.1:{self._port}"

    async def command(self) -> Command:
        """Make its environment where it is missing.

        Raises:
            CannotRun: it cannot be made.
        """
        if not self._settings.router_python.exists():
            await self._set_up()
        return Command(
            argv=[
                *(str(self._settings.router_python), "-m", "vllm_router.launch_router"),
                *("--host", "127.0.0.1", "--port", str(self._port)),
                *("--prometheus-port", str(self._figures)),
                *ARGUMENTS,
                *("--worker-urls", *self._engines),
            ],
            environment=inherited_environment("PG") | ENVIRONMENT,
        )

    async def _set_up(self) -> None:
        script = CHECKOUT / "setup" / "environment.py"
        if not script.exists() or self._settings.router_python != MADE:
            raise CannotRun(
                f"vllm-router's environment is missing: there is no {self._settings.router_python}. Set "
                "ZEPHYR_ROUTER_PYTHON to a Python that has vllm-router, or ZEPHYR_REPLICAS to 1."
            )

        def on_line(line: str) -> None:
            self._tell(self.name, "busy", line.removeprefix("setup: "))

        argv = [sys.executable, str(script), "router"]
        await self._run("router-setup", Command(argv=argv, environment=inherited_environment("PG")), on_line)

    def on_line(self, line: str) -> None:
        """Nothing it prints is progress."""

    async def until_ready(self) -> None:
        """Wait until it has an engine."""
        self._tell(self.name, "busy", "waiting for the first engine")
        await until_well(self.url, "/readiness", every=_READY_POLL_SECONDS)

    async def until_hung(self) -> str:
        """Nobody looks for that."""
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await never

    def down(self) -> None:
        """Its port goes with it."""

    def advice(self) -> str:
        """What it printed says enough."""
        return ""

    async def take_out(self, engine: str) -> None:
        """Send an engine nothing new; what it has, goes on.

        Raises:
            RouterRefused: the router does not do so.
        """
        await self._order("remove_worker", engine)

    async def take_in(self, engine: str) -> None:
        """Send to an engine again, which must be well.

        Raises:
            RouterRefused: the router does not do so.
        """
        await self._order("add_worker", engine)

    async def _order(self, what: str, engine: str) -> None:
        path = f"/{what}?url={quote(engine, safe='')}"
        try:
            answer = await asyncio.to_thread(ask, self.url, path, {}, timeout=_ORDER_SECONDS)
        except NoAnswer as error:
            raise RouterRefused(f"the router does not answer ({error})") from error
        if answer.status != HTTPStatus.OK and b"already exists" not in answer.body:
            raise RouterRefused(f"the router refused {what}: {answer.body[:200]!r}")


class RouterRefused(HostError):
    """The router did not do what it was told."""


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on now.

    Raises:
        CannotRun: there are not so many.
    """
    found: list[int] = []
    for port in random.sample(_BELOW_EPHEMERAL, len(_BELOW_EPHEMERAL)):
        if len(found) == count:
            return found
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
    raise CannotRun("no port of this machine is free")
