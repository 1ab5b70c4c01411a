"""Limits counted in Valkey or Redis: exact over all gateways for as long as the server keeps its memory."""

import time
from collections.abc import Sequence
from typing import Any, Self
from uuid import UUID

from pydantic import SecretStr
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from adapters.limits import scripts
from adapters.limits.state import SECOND, State, month_of
from adapters.limits.store import FIELDS, Answer, Demand, Settlement, StoreAway, Subject
from adapters.settings import BadSettings, LimitSettings

_PREFIX = "zephyr:limits:"
_MOST_CONNECTIONS = 16
_ANSWER_SECONDS = 5.0  # longer than a request waits: what was taken for nobody is given back when it is known


class ValkeyCounts:
    """Asks the server, one script for each of its methods. One server, with replicas or without; not a cluster."""

    def __init__(self, url: SecretStr, *, lease: float, patience: float) -> None:
        """`lease` and `patience` are seconds.

        Raises:
            BadSettings: the URL cannot be used.
        """
        try:
            pool = BlockingConnectionPool.from_url(
                url.get_secret_value(),
                max_connections=_MOST_CONNECTIONS,
                timeout=patience,
                socket_timeout=_ANSWER_SECONDS,
                socket_connect_timeout=patience,
                retry=Retry(NoBackoff(), 0),  # a second try could take a second time
            )
            pool.make_connection()  # type: ignore[no-untyped-call]  # connects to nothing; looks at the URL
        except (TypeError, ValueError) as error:  # their texts quote the URL's parts
            raise BadSettings(f"ZEPHYR_LIMITS_URL: it cannot be used ({type(error).__name__})") from None
        self._client = Redis(connection_pool=pool)
        self._take = self._client.register_script(scripts.TAKE)
        self._settle = self._client.register_script(scripts.SETTLE)
        self._renew = self._client.register_script(scripts.RENEW)
        self._lease = round(lease * SECOND)

    @classmethod
    def of(cls, settings: LimitSettings) -> Self:
        """The server that the settings name.

        Raises:
            BadSettings: they name none, or none that can be used.
        """
        if settings.limits_url is None:
            raise BadSettings("ZEPHYR_LIMITS_URL: it is not given")
        return cls(settings.limits_url, lease=settings.limits_lease, patience=settings.limits_patience)

    async def ask(self) -> None:
        """See whether it answers.

        Raises:
            StoreAway: it does not.
        """
        try:
            await self._client.ping()
        except (RedisError, OSError) as error:
            raise StoreAway(type(error).__name__) from None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
        await self._client.connection_pool.disconnect()

    async def take(self, demand: Demand) -> Answer:
        """Take all that is asked for, or nothing.

        Raises:
            StoreAway: nobody knows whether it was taken.
        """
        told = await self._run(self._take, demand.subjects, demand.tokens, demand.lease.hex, self._lease)
        taken, now, *numbers = told
        return Answer(
            taken=taken == 1,
            states=tuple(
                _state(now, numbers[start : start + 5]) for start in range(0, 5 * len(demand.subjects), 5)
            ),
        )

    async def settle(self, settlement: Settlement) -> None:
        """Count what was used instead of what was reserved, and free the place.

        Raises:
            StoreAway: nobody knows whether that was done.
        """
        await self._run(
            self._settle,
            settlement.subjects,
            settlement.lease.hex,
            settlement.taken_at,
            settlement.reserved,
            settlement.used,
            settlement.requests,
        )

    async def renew(self, leases: Sequence[tuple[str, UUID]]) -> None:
        """Give places that are still needed, each of a subject, another time to live.

        Raises:
            StoreAway: they were not renewed.
        """
        keys = [_places(name) for name, _ in leases]
        await self._call(self._renew, keys, [self._lease, *(lease.hex for _, lease in leases)])

    async def forget_idle(self) -> None:
        """Nothing: what is kept there ends by itself."""

    async def _run(self, script: Any, subjects: Sequence[Subject], *arguments: object) -> Any:
        keys = [key for subject in subjects for key in (_PREFIX + subject.name, _places(subject.name))]
        return await self._call(script, keys, [*_months(), *_limits(subjects), *arguments])

    async def _call(self, script: Any, keys: list[str], arguments: list[object]) -> Any:
        try:
            return await script(keys=keys, args=arguments)
        except (RedisError, OSError) as error:
            raise StoreAway(type(error).__name__) from None


def _places(name: str) -> str:
    return f"{_PREFIX}{name}:running"


def _months() -> list[int]:
    """The first moments of the month before this one, of this one and of the next: clocks may differ somewhat."""
    start, following = month_of(time.time_ns() // 1000)
    return [month_of(start - SECOND)[0], start, following]


def _limits(subjects: Sequence[Subject]) -> list[int | str]:
    sizes = [getattr(subject.limits, field) for subject in subjects for field in FIELDS]
    return ["" if size is None else size for size in sizes]


def _state(now: int, numbers: list[int]) -> State:
    requests, tokens, day_tokens, month_tokens, running = numbers
    return State(
        at=now,
        requests=requests,
        tokens=tokens,
        day_tokens=day_tokens,
        month_tokens=month_tokens,
        running=running,
    )
