"""The gateway as a service: which command runs it, with which environment. It is met over HTTP only."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping

from serving.errors import CannotRun
from serving.process.child import Command
from serving.readiness import until_well
from serving.settings import Settings

_READY_POLL_SECONDS = 0.1


class Gateway:
    """`python -m adapters` on this machine, as a service of the supervisor."""

    name = "gateway"

    def __init__(
        self, settings: Settings, *, engine_url: str, database_url: str, engine_settings: Mapping[str, str]
    ) -> None:
        """`engine_settings` are those that fit the engines which are run here."""
        self.start_seconds = settings.start_seconds
        self.stop_seconds = settings.stop_seconds
        self.url = f"http://{address_to_ask(settings.host)}:{settings.port}"
        self._environment = (
            dict(os.environ)
            | dict(engine_settings)
            | {
                "ENGINE_URL": engine_url,
                "DATABASE_URL": database_url,
                "ZEPHYR_HOME": str(settings.home),
                "ZEPHYR_HOST": settings.host,
                "ZEPHYR_PORT": str(settings.port),
            }
        )

    async def command(self) -> Command:
        return Command(argv=[sys.executable, "-m", "adapters"], environment=self._environment)

    def on_line(self, line: str) -> None:
        """Nothing it prints is progress."""

    async def until_ready(self) -> None:
        """Wait until it answers that it is alive; it may still lack an engine."""
        await until_well(self.url, "/healthz", every=_READY_POLL_SECONDS)

    async def until_hung(self) -> str:
        """Nobody looks for that."""
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return await never

    def down(self) -> None:
        """Its socket goes with it."""

    def advice(self) -> str:
        """What it printed says enough."""
        return ""


def migrations(environment: Mapping[str, str], database_url: str) -> Command:
    """What brings the database's schema up to date."""
    return Command(
        argv=[sys.executable, "-m", "adapters", "migrate"],
        environment={**environment, "DATABASE_URL": database_url},
    )


def findings(settings: Settings, *, quick: bool) -> list[dict[str, str]]:
    """What the gateway finds wrong with its own settings and what it needs: `subject`, `verdict`, `text`.

    Raises:
        CannotRun: it cannot even look.
    """
    environment = os.environ | {
        "ZEPHYR_HOME": str(settings.home),
        "ZEPHYR_HOST": settings.host,
        "ZEPHYR_PORT": str(settings.port),
    }
    command = [sys.executable, "-m", "adapters", "check", "--json", *(["--quick"] if quick else [])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    try:
        found: list[dict[str, str]] = json.loads(done.stdout)
    except ValueError:
        raise CannotRun(f"the gateway's check failed:\n{done.stderr.strip()[-1000:]}") from None
    return found


def address_to_ask(host: str) -> str:
    """Where a server that listens on `host` is reached from this machine."""
    if host in ("0.0.0.0", "::", ""):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
