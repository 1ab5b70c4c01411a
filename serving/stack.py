"""What runs on one machine and in what order: PostgreSQL, migrations, the gateway, the engine."""

import asyncio
import fcntl
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from serving import status
from serving.engine.service import Engine
from serving.engines import Engines
from serving.errors import CannotRun
from serving.gateway import Gateway, migrations
from serving.postgres import Postgres
from serving.reporting import Tell
from serving.settings import Settings
from serving.status import RESTART_ENGINES
from serving.supervisor import Supervisor

Part = Callable[[Supervisor], Awaitable[None]]


async def up(settings: Settings, tell: Tell) -> None:
    """Run everything until stopped.

    Raises:
        HostError: something needed cannot run; the message says what to do.
    """
    refuse_taken_port(settings.host, settings.port)
    own_parts = [name for name, url in parts_elsewhere(settings).items() if url is None]

    async def run(supervisor: Supervisor) -> None:
        database_url = await database(settings, supervisor, tell)
        engines = None if settings.engine_url else Engines(settings, supervisor, tell)
        gateway = Gateway(
            settings,
            engine_url=engines.url if engines else settings.engine_url or "",
            database_url=database_url,
            engine_settings=await engines.gateway_settings() if engines else {},
        )
        await supervisor.run_once("migrations", migrations(os.environ, database_url))
        supervisor.start(gateway)
        await supervisor.until_ready("gateway")
        tell(
            "gateway", "ready", f"open {gateway.url} (the welcome page), {gateway.url}/docs, {gateway.url}/v1"
        )
        try:
            if engines is not None:
                engines.start()
                asyncio.get_running_loop().add_signal_handler(RESTART_ENGINES, engines.restart)
            await supervisor.until_given_up("postgres", "gateway")
        finally:
            if engines is not None:
                await engines.stop()
            await supervisor.stop("gateway")  # first: its streams end and are recorded while the rest runs

    make_home(settings)
    with status.written(settings, tell) as tell:
        await run_supervised(settings, tell, own_parts, run)


async def engine_alone(settings: Settings, tell: Tell, announce: Callable[[str], None]) -> None:
    """Run a checked engine until stopped, and announce where it is."""

    async def run(supervisor: Supervisor) -> None:
        port = settings.engine_port
        address = (settings.engine_host, port) if port else None
        engine = Engine(settings, supervisor.run_once, tell, address=address)
        supervisor.start(engine)
        await supervisor.until_ready("engine")
        announce(engine.url)
        await supervisor.until_given_up("engine")

    await run_supervised(settings, tell, ["engine"], run)


async def database_alone(settings: Settings, tell: Tell, announce: Callable[[str], None]) -> None:
    """Run the embedded PostgreSQL until stopped, and announce where it is."""

    async def run(supervisor: Supervisor) -> None:
        postgres = Postgres(settings.home, settings.start_seconds, tell, settings.stop_seconds)
        supervisor.start(postgres)
        await supervisor.until_ready("postgres")
        announce(postgres.url)
        await supervisor.until_given_up("postgres")

    await run_supervised(settings, tell, ["postgres"], run)


async def database(settings: Settings, supervisor: Supervisor, tell: Tell) -> str:
    """The URL of the database: the one that was given, or of the embedded one once it is ready."""
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    postgres = Postgres(settings.home, settings.start_seconds, tell, settings.stop_seconds)
    supervisor.start(postgres)
    await supervisor.until_ready("postgres")
    return postgres.url


def parts_elsewhere(settings: Settings) -> dict[str, object]:
    return {"postgres": settings.database_url, "engine": settings.engine_url}


async def run_supervised(settings: Settings, tell: Tell, parts: list[str], run: Part) -> None:
    """Run parts of this home, alone, until they are given up or somebody asks to stop."""
    with ExitStack() as locks:
        make_home(settings)
        for part in parts:
            locks.enter_context(sole_runner(settings.run, part))
        async with Supervisor(settings, tell) as supervisor:
            with stopped_by_signals(supervisor):
                await run(supervisor)


def make_home(settings: Settings) -> None:
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        settings.run.mkdir(exist_ok=True, mode=0o700)
    except OSError as error:
        raise CannotRun(f"ZEPHYR_HOME: {settings.home} cannot be made ({error.strerror})") from error


@contextmanager
def sole_runner(folder: Path, part: str) -> Iterator[None]:
    """Hold the part's lock; it goes with the process, however that ends."""
    with (folder / f"{part}.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise CannotRun(
                f"process {file.read().strip() or '?'} already runs the {part} of {folder.parent}. "
                "Stop it, or set ZEPHYR_HOME to another folder (and ZEPHYR_PORT to another port)."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def stopped_by_signals(supervisor: Supervisor) -> Iterator[None]:
    """The first signal stops in order, the second kills."""
    main = asyncio.current_task()
    loop = asyncio.get_running_loop()
    asked = False

    def stop() -> None:
        nonlocal asked
        if asked:
            supervisor.hurry()
        elif main is not None:
            main.cancel()
        asked = True

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        if not asked:
            for number in signals:
                loop.remove_signal_handler(number)


def refuse_taken_port(host: str, port: int) -> None:
    """Raise if somebody already listens there."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise CannotRun(f"ZEPHYR_HOST: {host} is no address of this machine ({error.strerror})") from error
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise CannotRun(
                f"port {port} on {host} cannot be used ({error.strerror}). "
                "Stop what listens there, or set ZEPHYR_PORT to another port."
            ) from error
