"""What a gateway knows of keys: found once, up to date within moments, and there while PostgreSQL is away."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from adapters.access.callers import Caller, KeyScope, Limits
from adapters.errors import Overloaded
from adapters.keys.errors import KeysUnavailable, NotAuthorized
from adapters.keys.key import Order, Tenant, digest, new_secret
from adapters.keys.known import KnownKeys
from adapters.keys.repository import KeyRepository
from adapters.settings import KeySettings
from tests.databases import fetch, log_settings

NEVER = 3600.0


def hashed(secret: SecretStr) -> bytes:
    return digest(secret.get_secret_value().encode())


@asynccontextmanager
async def knowing(url: str, **changes: float) -> AsyncIterator[KnownKeys]:
    """What a gateway on this database knows. It asks again about nothing by itself, unless told."""
    settings = KeySettings(**{"keys_seconds": NEVER} | changes)  # type: ignore[arg-type]
    known = KnownKeys(settings, log_settings(url))
    await known.start()
    try:
        yield known
    finally:
        await known.close()


async def until(happened: Callable[[], bool], seconds: float = 5.0) -> float:
    """Wait for it; how long it took."""
    began = time.monotonic()
    while not happened():
        assert time.monotonic() - began < seconds
        await asyncio.sleep(0.005)
    return time.monotonic() - began


async def refused(asked: Awaitable[Caller]) -> bool:
    try:
        await asked
    except NotAuthorized:
        return True
    return False


async def test_a_key_is_found_with_all_that_is_to_be_known_of_its_caller(
    keys: KeyRepository, database_url: str
) -> None:
    """And from then on without asking."""
    limits = Limits(requests_per_minute=3)
    order = Order(tenant="alice", scopes=(KeyScope.READ, KeyScope.ADMIN), limits=limits)
    key, secret = await keys.create(order)
    await keys.set_tenant(Tenant(name="alice", weight=2.5, limits=Limits(tokens_per_day=7)))
    async with knowing(database_url) as known:
        assert known.get(hashed(secret)) is None
        caller = await known.find(hashed(secret))
        assert caller == Caller(
            tenant="alice",
            key=key.id,
            scopes=frozenset({KeyScope.READ, KeyScope.ADMIN}),
            weight=2.5,
            limits=limits,
            tenant_limits=Limits(tokens_per_day=7),
        )
        assert known.get(hashed(secret)) is caller


@pytest.mark.parametrize("end", ["unknown", "revoked", "expired"])
async def test_what_cannot_be_used_is_refused(keys: KeyRepository, database_url: str, end: str) -> None:
    """Whatever the reason, in the same words."""
    moment = datetime.now(UTC) - timedelta(seconds=1) if end == "expired" else None
    key, secret = await keys.create(Order(tenant="alice", expires_at=moment))
    if end == "revoked":
        await keys.revoke(key.id)
    async with knowing(database_url) as known:
        with pytest.raises(NotAuthorized) as caught:
            await known.find(hashed(new_secret() if end == "unknown" else secret))
    assert (caught.value.status, caught.value.code, caught.value.type) == (
        401,
        "invalid_api_key",
        "invalid_request_error",
    )


async def test_a_key_ends_at_its_moment_without_anybody_asking(
    keys: KeyRepository, database_url: str
) -> None:
    """To the moment, by what is known of it."""
    order = Order(tenant="alice", expires_at=datetime.now(UTC) + timedelta(seconds=0.5))
    _, secret = await keys.create(order)
    async with knowing(database_url) as known:
        await known.find(hashed(secret))
        assert await until(lambda: known.get(hashed(secret)) is None) < 0.6
        assert await refused(known.find(hashed(secret)))


@pytest.mark.parametrize("steps", range(6))
async def test_a_change_at_the_moment_of_the_end_does_not_keep_it_going(
    database_url: str, steps: int
) -> None:
    """What waited is woken and told to end within the same few steps of the event loop."""
    async with asyncio.timeout(10), knowing(database_url) as known:
        await asyncio.sleep(0.01)
        known._hear()
        for _ in range(steps):
            await asyncio.sleep(0)


async def test_a_revoked_key_is_refused_within_a_second(keys: KeyRepository, database_url: str) -> None:
    """By what PostgreSQL tells, since here nothing is asked for an hour."""
    key, secret = await keys.create(Order(tenant="alice"))
    async with knowing(database_url) as known:
        await known.find(hashed(secret))
        await keys.revoke(key.id)
        assert await until(lambda: known.get(hashed(secret)) is None) < 1.0
        assert await refused(known.find(hashed(secret)))


async def test_a_revoked_key_is_refused_in_the_seconds_of_the_setting_where_nothing_is_told(
    keys: KeyRepository, database_url: str
) -> None:
    """As when the word about it was lost: here the row is changed by hand."""
    key, secret = await keys.create(Order(tenant="alice"))
    async with knowing(database_url, keys_seconds=0.3) as known:
        await known.find(hashed(secret))
        await fetch(database_url, "UPDATE keys SET revoked_at = now() WHERE id = $1", key.id)
        assert await until(lambda: known.get(hashed(secret)) is None) < 1.0


async def test_a_key_that_was_refused_counts_as_soon_as_it_is_made(
    keys: KeyRepository, database_url: str
) -> None:
    """That it was unknown is remembered, and forgotten when there is a change."""
    async with knowing(database_url) as known:
        _, secret = await keys.create(Order(tenant="alice"))
        await fetch(database_url, "UPDATE keys SET expires_at = now() - interval '1 s'")
        assert await refused(known.find(hashed(secret)))
        await fetch(database_url, "UPDATE keys SET expires_at = NULL")
        assert await refused(known.find(hashed(secret))), "nobody has told of it yet"
        await keys.set_tenant(Tenant(name="somebody else"))
        await until(lambda: known.unknown == 0)
        assert (await known.find(hashed(secret))).tenant == "alice"


async def test_a_change_of_a_tenant_reaches_its_keys(keys: KeyRepository, database_url: str) -> None:
    """Its weight and its limits, within a second."""
    _, secret = await keys.create(Order(tenant="alice"))
    async with knowing(database_url) as known:
        assert (await known.find(hashed(secret))).weight == 1.0
        await keys.set_tenant(Tenant(name="alice", weight=3.0))

        def told() -> bool:
            caller = known.get(hashed(secret))
            return caller is not None and caller.weight == 3.0

        assert await until(told) < 1.0


async def test_after_a_rotation_the_old_secret_counts_for_its_grace(
    keys: KeyRepository, database_url: str
) -> None:
    """Both are the same key. Without a grace, the old one ends at once."""
    key, first = await keys.create(Order(tenant="alice"))
    async with knowing(database_url) as known:
        await known.find(hashed(first))
        rotated, second = await keys.rotate(key.id, timedelta(seconds=0.5))
        assert rotated.id == key.id and rotated.former_until is not None
        assert (await known.find(hashed(second))).key == key.id
        assert (await known.find(hashed(first))).key == key.id
        await until(lambda: known.get(hashed(first)) is None)
        assert await refused(known.find(hashed(first)))
        _, third = await keys.rotate(key.id, timedelta(0))
        await until(lambda: known.get(hashed(second)) is None)
        assert await refused(known.find(hashed(second)))
        assert (await known.find(hashed(third))).key == key.id


async def test_many_that_ask_for_one_key_ask_once(keys: KeyRepository, database_url: str) -> None:
    """And one who leaves takes nothing from the others."""
    _, secret = await keys.create(Order(tenant="alice"))
    async with knowing(database_url) as known:
        asking = [asyncio.create_task(known.find(hashed(secret))) for _ in range(50)]
        await asyncio.sleep(0)
        asking[0].cancel()
        callers = await asyncio.gather(*asking[1:])
        assert len({id(caller) for caller in callers}) == 1


async def test_a_storm_of_unknown_keys_is_bounded(keys: KeyRepository, database_url: str) -> None:
    """In what waits, and in what is remembered; whose key is known notices nothing."""
    _, secret = await keys.create(Order(tenant="alice"))
    async with knowing(database_url, keys_cached=1024) as known:
        await known.find(hashed(secret))
        results = await asyncio.gather(
            *(known.find(digest(b"%d" % number)) for number in range(3000)), return_exceptions=True
        )
        assert {type(result) for result in results} == {NotAuthorized, Overloaded}
        for place in range(1000, 4000, 1000):
            await asyncio.gather(
                *(known.find(digest(b"%d" % number)) for number in range(place, place + 1000)),
                return_exceptions=True,
            )
        assert known.unknown == 1024
        assert known.get(hashed(secret)) is not None


async def test_a_known_key_is_trusted_for_so_long_while_postgres_is_away(
    keys: KeyRepository, database_url: str
) -> None:
    """And no longer."""
    _, secret = await keys.create(Order(tenant="alice"))
    async with knowing(database_url, keys_away_seconds=0.3) as known:
        await known.find(hashed(secret))
        assert known.get(hashed(secret)) is not None
        assert known.up
        await until(lambda: known.get(hashed(secret)) is None)
        assert (await known.find(hashed(secret))).tenant == "alice"


async def test_while_postgres_is_away_nobody_waits_for_it() -> None:
    """Who asks is told at once."""
    async with knowing("postgresql://nobody@/nothing?host=/no-such-folder") as known:
        began = time.monotonic()
        with pytest.raises(KeysUnavailable):
            await known.find(hashed(new_secret()))
        assert time.monotonic() - began < 0.1
        assert not known.up
