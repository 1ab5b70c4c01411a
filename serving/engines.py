"""The engines of this machine: one, which the gateway reaches by its socket, or several behind a router."""

import asyncio

from serving.engine import hardware, profile
from serving.engine.service import Engine
from serving.engine.share import Share
from serving.errors import HostError
from serving.gateway import address_to_ask
from serving.reporting import Tell
from serving.router import Router, free_ports
from serving.settings import Settings
from serving.supervisor import Supervisor

NAME = "engines"
_ROUTER_NOTICES_SECONDS = 1.0  # requests that it has just sent are counted by their engine after that


class Engines:
    """As many engines as the settings say."""

    def __init__(self, settings: Settings, supervisor: Supervisor, tell: Tell) -> None:
        self._settings = settings
        self._supervisor = supervisor
        self._tell = tell
        self._restarting: asyncio.Task[None] | None = None
        addresses = self._addresses()
        self._engines = {
            f"http://{address_to_ask(host)}:{port}": Engine(
                settings,
                supervisor.run_once,
                tell,
                Share(number=number, of=settings.replicas),
                (host, port) if port else None,
            )
            for number, (host, port) in enumerate(addresses)
        }
        several = settings.replicas > 1
        self._router = Router(settings, [*self._engines], supervisor.run_once, tell) if several else None

    @property
    def url(self) -> str:
        """Where the gateway finds them."""
        return self._router.url if self._router else next(iter(self._engines.values())).url

    async def gateway_settings(self) -> dict[str, str]:
        """The settings of a gateway that fit them."""
        places = profile.places(await asyncio.to_thread(hardware.look), self._settings)
        settings = places.times(self._settings.replicas).environment
        if self._router:
            settings |= {
                "ZEPHYR_ENGINE_HEALTH_PATH": "/readiness",
                "ZEPHYR_ENGINE_TRIES": "2",
                "ZEPHYR_ENGINE_METRICS_URLS": ",".join(engine.url for engine in self._engines.values()),
            }
        return settings

    def start(self) -> None:
        """Start all and keep them running."""
        for engine in self._engines.values():
            self._supervisor.start(engine)
        if self._router:
            self._supervisor.start(self._router)

    def restart(self) -> None:
        """Begin to restart one after the other; not while that is being done."""
        if self._router is None:
            self._tell(
                NAME, "trouble", "a single engine cannot be restarted while it answers: stop and start"
            )
        elif self._restarting is None or self._restarting.done():
            self._restarting = asyncio.create_task(self._restart_in_turn(), name="restart engines")

    async def stop(self) -> None:
        """Restart nothing any more."""
        if self._restarting is not None:
            self._restarting.cancel()
            await asyncio.gather(self._restarting, return_exceptions=True)

    async def _restart_in_turn(self) -> None:
        try:
            for url, engine in self._engines.items():
                await self._restart_one(url, engine)
        except HostError as error:
            self._tell(NAME, "trouble", f"not all restarted: {error}")
        else:
            self._tell(NAME, "ready", f"all {len(self._engines)} restarted")

    async def _restart_one(self, url: str, engine: Engine) -> None:
        """Restart an engine that has no work, while others do it.

        Raises:
            HostError: that cannot be done without losing requests, or it does not come up again.
        """
        assert self._router is not None
        for other in self._engines.values():
            if not self._supervisor.is_up(other.name):
                raise HostError(f"{other.name} is not up, and the others cannot be spared")
        self._tell(NAME, "busy", f"restarting {engine.name}: waiting for its answers to end")
        await self._router.take_out(url)
        await asyncio.sleep(_ROUTER_NOTICES_SECONDS)
        if not await engine.until_idle(self._settings.engine_drain_seconds):
            limit = f"{self._settings.engine_drain_seconds:.0f} s"
            self._tell(engine.name, "trouble", f"still answers after {limit}: these answers break")
        self._tell(NAME, "busy", f"restarting {engine.name}")
        try:
            await self._supervisor.restart(engine.name)
        except HostError:
            self._tell(engine.name, "trouble", "did not come up at once: the others stay as they are")
            raise
        finally:
            await self._supervisor.until_up(engine.name)  # it may still come, and is needed then
            await self._router.take_in(url)

    def _addresses(self) -> list[tuple[str, int]]:
        """Where each is reached by a port; 0 where a single one is not."""
        settings, count = self._settings, self._settings.replicas
        if settings.engine_port is not None:
            return [(settings.engine_host, settings.engine_port + number) for number in range(count)]
        return [("127.0.0.1", port) for port in (free_ports(count) if count > 1 else [0])]
