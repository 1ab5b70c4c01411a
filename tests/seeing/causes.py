"""What brings each alert about, against the real gateway and a real PostgreSQL."""

import asyncio
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path

import asyncpg

from tests.acceptance.gateway import chat
from tests.acceptance.keys import created
from tests.databases import NO_SPOOL, PostgresServer
from tests.fakes.engine import Script
from tests.overload.stand import Stand

_START_SECONDS = 180.0  # the machine may have other work


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a cause may hurt."""

    stand: Stand
    server: PostgresServer | None
    spool: Path
    """The spool's folder."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """What a client sends to be known."""

    @property
    def database(self) -> PostgresServer:
        """The server, where a cause may hurt it."""
        assert self.server is not None
        return self.server

    def ask(self, text: str = "hello", *, stream: bool = False) -> int:
        """The status of a generation."""
        return self.stand.gateway.post(
            "/v1/chat/completions", chat(text, stream=stream), **self.headers
        ).status


Cause = Callable[[Parts], AbstractContextManager[None]]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One alert, and how it comes about."""

    alert: str
    cause: Cause
    look: str
    """The figure that moves."""
    settings: Mapping[str, str] = field(default_factory=dict)
    keyed: bool = False


@contextmanager
def asked_by(parts: Parts, clients: int, text: str = "hello", *, stream: bool = False) -> Iterator[None]:
    """So many clients ask again and again, whatever they are told."""
    over = threading.Event()

    def go_on() -> None:
        while not over.is_set():
            with suppress(OSError, HTTPException):
                parts.ask(text, stream=stream)
            time.sleep(0.05)

    threads = [threading.Thread(target=go_on) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def scripted(script: Script, clients: int, *, stream: bool = False) -> Cause:
    """Clients ask for something that the engine answers so."""

    @contextmanager
    def cause(parts: Parts) -> Iterator[None]:
        parts.stand.engine.scripts["odd"] = script
        with asked_by(parts, clients, "odd", stream=stream):
            yield

    return cause


@contextmanager
def gateway_killed(parts: Parts) -> Iterator[None]:
    parts.stand.gateway.kill()
    yield
    parts.stand.gateway.start()
    parts.stand.gateway.wait_until_ready(_START_SECONDS)


@contextmanager
def gateway_killed_often(parts: Parts) -> Iterator[None]:
    for _ in range(3):
        time.sleep(2)
        parts.stand.gateway.kill()
        parts.stand.gateway.start()
        parts.stand.gateway.wait_until_ready(_START_SECONDS)
    yield


@contextmanager
def gateway_held_up(parts: Parts) -> Iterator[None]:
    """It gets the processor for a part of the time."""
    over = threading.Event()

    def hold() -> None:
        process = parts.stand.gateway.process
        while not over.is_set():
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.3)
            process.send_signal(signal.SIGCONT)
            time.sleep(0.3)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def engine_stopped(parts: Parts) -> Iterator[None]:
    parts.stand.engine.stop()
    with asked_by(parts, 1):
        yield
    parts.stand.engine.start()


@contextmanager
def engine_hanging(parts: Parts) -> Iterator[None]:
    parts.stand.engine.hangs = True
    yield
    parts.stand.engine.hangs = False


@contextmanager
def engine_lost_often(parts: Parts) -> Iterator[None]:
    for _ in range(4):
        time.sleep(2)
        parts.stand.engine.stop()
        parts.stand.gateway.wait_until_unready(_START_SECONDS)
        parts.stand.engine.start()
        parts.stand.gateway.wait_until_ready(_START_SECONDS)
    yield


@contextmanager
def database_killed(parts: Parts) -> Iterator[None]:
    parts.database.kill()
    with asked_by(parts, 1):
        yield
    parts.database.start()


@contextmanager
def log_locked(parts: Parts) -> Iterator[None]:
    """PostgreSQL answers, and takes no exchange: somebody holds a lock on the table."""
    parts.database.kill()
    for _ in range(5):
        parts.ask()
    parts.database.start()
    loop = asyncio.new_event_loop()
    connection = loop.run_until_complete(asyncpg.connect(parts.database.url))
    loop.run_until_complete(connection.execute("BEGIN; LOCK TABLE exchanges IN EXCLUSIVE MODE"))
    time.sleep(15)  # longer than the alert looks back for a database that was there before
    try:
        yield
    finally:
        loop.run_until_complete(connection.close())
        loop.close()


@contextmanager
def disk_filled(parts: Parts) -> Iterator[None]:
    """Of the file system that the spool is on, which is small."""
    filling = parts.spool / "somebody-elses"
    with filling.open("wb") as file, suppress(OSError):
        while True:
            file.write(bytes(2**20))
            file.flush()
    parts.database.kill()
    with asked_by(parts, 1):
        yield
    filling.unlink()
    parts.database.start()


@contextmanager
def waited(_: Parts) -> Iterator[None]:
    """Nothing more than its settings is needed."""
    yield


@contextmanager
def small_disk(mibibytes: int) -> Iterator[Path]:
    """A file system of this size; needs root."""
    folder = Path(tempfile.mkdtemp(prefix="zephyr-disk-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mibibytes}m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


def a_key(url: str) -> dict[str, str]:
    """What a client sends whose requests are limited."""
    made = created(url, "seen", "--requests-per-minute", "100000")
    return {"authorization": f"Bearer {made['key']}"}


_ONE_PLACE = {"ZEPHYR_ENGINE_CONCURRENCY": "1", "ZEPHYR_ENGINE_SPARE": "0"}
_WATCHFUL = {"ZEPHYR_ENGINE_QUIET_SECONDS": "1", "ZEPHYR_ENGINE_HANG_SECONDS": "3"}
_NO_SPOOL = {"ZEPHYR_SPOOL_DIR": str(NO_SPOOL)}
TRIALS = (
    Trial(alert="ZephyrGatewayDown", cause=gateway_killed, look='up{job="zephyr-gateway"}'),
    Trial(
        alert="ZephyrGatewayRestarts",
        cause=gateway_killed_often,
        look='changes(process_start_time_seconds{job="zephyr-gateway"}[60s])',
    ),
    Trial(
        alert="ZephyrEventLoopLags",
        cause=gateway_held_up,
        look="zephyr:event_loop_lag_seconds:p99_rate5m",
    ),
    Trial(
        alert="ZephyrServerErrors",
        cause=scripted(Script(stop_after=1, ending="reset"), 2, stream=True),
        look="zephyr:server_errors:ratio_rate5m",
    ),
    Trial(
        alert="ZephyrOverloaded",
        cause=scripted(Script(silence=1), 8),
        look='sum by (code) (rate(zephyr_errors_total{code=~"overloaded|too_many_waiting"}[10s]))',
        settings=_ONE_PLACE | {"ZEPHYR_MAX_WAITING_OF_TENANT": "2"},
    ),
    Trial(
        alert="ZephyrQueueWaitLong",
        cause=scripted(Script(silence=0.7), 4),
        look="zephyr:queue_wait_seconds:p95_rate5m",
        settings=_ONE_PLACE,
    ),
    Trial(
        alert="ZephyrFirstTokenLate",
        cause=scripted(Script(silence=5.3), 20, stream=True),
        look="zephyr:first_token_late:ratio_rate1h",
    ),
    Trial(alert="ZephyrEngineAway", cause=engine_stopped, look="zephyr_engine_ready"),
    Trial(
        alert="ZephyrEngineHangs",
        cause=engine_hanging,
        look="zephyr_engine_silent_seconds",
        settings=_WATCHFUL,
    ),
    Trial(
        alert="ZephyrEngineLostOften",
        cause=engine_lost_often,
        look="sum(increase(zephyr_engine_lost_total[60s]))",
    ),
    Trial(alert="ZephyrDatabaseAway", cause=database_killed, look="zephyr_log_spooled"),
    Trial(
        alert="ZephyrLogRefuses",
        cause=database_killed,
        look='zephyr_errors_total{code="log_unavailable"}',
        settings=_NO_SPOOL,
    ),
    Trial(
        alert="ZephyrLogLoses",
        cause=database_killed,
        look="zephyr_log_lost_total",
        settings=_NO_SPOOL | {"ZEPHYR_LOG_MODE": "best_effort", "ZEPHYR_LOG_COMMIT_DEADLINE": "2"},
    ),
    Trial(alert="ZephyrSpoolNotShipping", cause=log_locked, look="zephyr_log_oldest_unshipped_seconds"),
    Trial(alert="ZephyrSpoolBroken", cause=disk_filled, look="zephyr_log_spool_up"),
    Trial(alert="ZephyrSpoolNearlyFull", cause=waited, look="zephyr_log_spool_room_bytes"),
    Trial(alert="ZephyrKeysAway", cause=database_killed, look="zephyr_keys_up", keyed=True),
    Trial(alert="ZephyrLimitsAlone", cause=database_killed, look="zephyr_limits_store_up", keyed=True),
)
ON_A_SMALL_DISK = {"ZephyrSpoolBroken", "ZephyrSpoolNearlyFull"}
