"""Causes each alert, and asks what every panel asks."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from adapters.database.migrate import migrate
from tests.acceptance.gateway import chat
from tests.databases import PostgresServer, log_settings
from tests.fakes.engine import Script
from tests.overload.stand import Stand, stand
from tests.seeing.causes import ON_A_SMALL_DISK, Parts, Trial, a_key, asked_by, small_disk
from tests.seeing.dashboard import queries
from tests.seeing.prometheus import Prometheus, prometheus

_SETTLED_SECONDS = 4.0
_SMALL_DISK_MIB = 48


def cause(trial: Trial) -> str:
    """Bring one alert about, and tell what was seen."""
    with _parts(trial) as parts, prometheus(parts.stand.gateway.admin_port) as seen:
        seen.wait_until_up()
        time.sleep(_SETTLED_SECONDS)
        before = seen.value(trial.look)
        early = seen.summaries(trial.alert)
        with trial.cause(parts):
            fired = seen.seconds_until(trial.alert, fires=True)
            said, after = seen.summaries(trial.alert)[0], seen.value(trial.look)
            ready, told = _problems(parts.stand), _told(parts)
        ended = "still firing, as it should" if early else f"{_end(seen, trial):.0f} s"
        return (
            f"{trial.alert}: {trial.look} went from {before} to {after}; fired after {fired:.0f} s, ended after {ended}\n"
            f"    said: {said}\n    /readyz: {ready}; a request: {told}"
        )


def ask_all_panels() -> str:
    """What every query of the dashboard gives after a while of work; those that give nothing are named."""
    with stand() as parts, prometheus(parts.gateway.admin_port) as seen:
        parts.engine.scripts["broken"] = Script(stop_after=1, ending="reset")
        whole = Parts(stand=parts, server=None, spool=Path())
        with asked_by(whole, 2), asked_by(whole, 2, stream=True), asked_by(whole, 1, "broken", stream=True):
            for _ in range(4):
                parts.gateway.post("/v1/chat/completions", chat(temperature=9))
                parts.gateway.post("/zephyr/python", {"user_message": "hello"})
                time.sleep(5)
            found = {query: seen.query(query[1]) for query in queries("15s")}
    empty = [f"    {title}: {expression}" for (title, expression), series in found.items() if not series]
    return "\n".join([f"{len(found)} queries; of these without an answer: {len(empty)}", *empty])


@contextmanager
def _parts(trial: Trial) -> Iterator[Parts]:
    with ExitStack() as stack:
        server = PostgresServer()
        stack.callback(server.close)
        asyncio.run(migrate(log_settings(server.url)))
        small = trial.alert in ON_A_SMALL_DISK
        folder = stack.enter_context(small_disk(_SMALL_DISK_MIB) if small else _folder())
        settings = {"ZEPHYR_SPOOL_DIR": str(folder)} | dict(trial.settings)
        headers = {}
        if trial.keyed:
            headers = a_key(server.url)
            settings["ZEPHYR_REQUIRE_KEYS"] = "true"
        parts = stack.enter_context(stand(server.url, **settings))
        all_parts = Parts(stand=parts, server=server, spool=folder, headers=headers)
        if trial.keyed:
            all_parts.ask()
        yield all_parts


@contextmanager
def _folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="zephyr-spool-") as folder:
        yield Path(folder)


def _end(seen: Prometheus, trial: Trial) -> float:
    return seen.seconds_until(trial.alert, fires=False, limit=180.0)


def _told(parts: Parts) -> str:
    """What a client is told at this moment."""
    try:
        return str(parts.ask())
    except OSError:
        return "no answer"


def _problems(parts: Stand) -> str:
    try:
        answer = parts.gateway.get("/readyz")
    except OSError:
        return "no answer"
    problems = [part["problem"] for part in answer.json["parts"].values() if part["problem"]]
    return f"{answer.status} {' '.join(problems)}".strip()
