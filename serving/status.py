"""What runs on this machine, for those who ask from outside: `zephyr up` writes it down, and takes orders by a signal."""

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from serving.errors import HostError
from serving.reporting import Kind, Tell
from serving.settings import Settings

RESTART_ENGINES = signal.SIGUSR1


class NotRunning(HostError):
    """No `zephyr up` runs with this home."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a part said last."""

    kind: Kind
    text: str
    since: float
    """Seconds since 1970."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """A running `zephyr up`."""

    pid: int
    engines: int
    """How many engines it runs; 0 where they are elsewhere."""
    parts: dict[str, Part]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@contextmanager
def written(settings: Settings, tell: Tell) -> Iterator[Tell]:
    """Say on what parts tell, and write it down while this lasts. A second one with the same home writes nothing."""
    file = settings.run / "status.json"
    engines = 0 if settings.engine_url else settings.replicas
    parts: dict[str, Part] = {}

    def note(part: str, kind: Kind, text: str) -> None:
        first_line = text.partition("\n")[0]
        parts[part] = Part(kind=kind, text=first_line, since=time.time())
        status = Status(pid=os.getpid(), engines=engines, parts=parts)
        fresh = file.with_suffix(".new")
        fresh.write_text(json.dumps(status.as_json()))
        fresh.replace(file)
        tell(part, kind, text)

    with _lock(settings.run).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield tell
            return
        try:
            yield note
        finally:
            file.unlink(missing_ok=True)


def read(settings: Settings) -> Status:
    """What runs with this home.

    Raises:
        NotRunning: nothing does.
    """
    try:
        with _lock(settings.run).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        pass  # as long as it is held, whoever wrote the file lives
    except OSError:
        raise _not_running(settings) from None
    else:
        raise _not_running(settings)
    try:
        found = cast(dict[str, Any], json.loads((settings.run / "status.json").read_text()))
    except (OSError, ValueError):
        raise _not_running(settings) from None  # it has just begun, or is about to end
    parts = {name: Part(**part) for name, part in found["parts"].items()}
    return Status(pid=found["pid"], engines=found["engines"], parts=parts)


def _lock(run: Path) -> Path:
    return run / "status.lock"


def _not_running(settings: Settings) -> NotRunning:
    return NotRunning(f"no `zephyr up` runs with {settings.home} (ZEPHYR_HOME)")
