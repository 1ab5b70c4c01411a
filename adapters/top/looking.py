"""One look at a gateway: what its second listener says of the queue, of GPUs and engine, and of the log."""

import time
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from adapters.observability.second_listener import NoGateway, SecondListener

_Page = TypeVar("_Page", bound=msgspec.Struct)


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant in `/queue/status`."""

    tenant: str
    running: int
    waiting: int
    prompt_tokens: int
    answer_tokens: int


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown of `/queue/status`."""

    open: int
    most_open: int
    waiting: int
    running: int
    places: int
    spare_places: int
    tenants: list[Tenant]
    other_tenants: int


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU in `/zephyr/gpu-stats`: percent, MiB, degrees, watts; None is what it does not tell."""

    id: int
    name: str
    load: float | None
    memoryUsed: int | None  # noqa: N815
    memoryTotal: int | None  # noqa: N815
    temperature: int | None
    power: float | None


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """The engine there, or all that stand behind its address; None is what it does not tell."""

    ready: bool
    problem: str | None
    running: int | None
    waiting: int | None
    kv_cache_usage: float | None
    prompt_tokens_per_second: float | None
    generation_tokens_per_second: float | None
    time_to_first_token_seconds: float | None


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown of `/zephyr/gpu-stats`."""

    gpus: list[Gpu]
    gpu_problem: str | None
    engine: Engine


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown of `/log/status`."""

    committed: int
    spooled: int
    refused: int
    lost: int
    waiting: int
    oldest_unshipped: str | None
    database_away_since: str | None
    spool_problem: str | None


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was seen at a moment."""

    at: float
    """`time.monotonic()` of it."""
    queue: Queue
    statistics: Statistics
    log: Log


def look(listener: SecondListener) -> Look:
    """Look now.

    Raises:
        NoGateway: none answers, or one of another version.
    """
    return Look(
        at=time.monotonic(),
        queue=_read(listener, "/queue/status", Queue),
        statistics=_read(listener, "/zephyr/gpu-stats", Statistics),
        log=_read(listener, "/log/status", Log),
    )


def _read(listener: SecondListener, path: str, page: type[_Page]) -> _Page:
    try:
        return msgspec.convert(listener.facts(path), page)
    except msgspec.ValidationError as error:
        raise NoGateway(
            f"What answers on {listener.address} is no gateway of this version: {error}."
        ) from None
