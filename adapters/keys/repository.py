"""Every query on keys and tenants. Each change tells all gateways, in the same transaction."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from pydantic import SecretStr
from sqlalchemy import ColumnElement, RowMapping, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from uuid_utils.compat import uuid7

from adapters.access.callers import KeyScope, Limits
from adapters.database.session import AWAY, Connection, blames_data
from adapters.keys.errors import KeysUnavailable, NoSuchKey
from adapters.keys.key import Key, Order, Tenant, digest, new_secret, shown
from adapters.keys.models import KeyRow, TenantRow

CHANNEL = "zephyr_keys"
"""Where every change is told of (https://www.postgresql.org/docs/current/sql-notify.html)."""
_keys = KeyRow.__table__
_tenants = TenantRow.__table__
_SHOWN = [_keys.c[name] for name in Key.__struct_fields__]
_NO_TABLES = "The database has no tables of keys yet: run `zephyr migrate`."
_UNDEFINED_TABLE = "42P01"  # https://www.postgresql.org/docs/current/errcodes-appendix.html
_USABLE = "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())"


class KeyRepository:
    """Reads and writes the tables. Every method raises KeysUnavailable where the database is away."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def create(self, order: Order) -> tuple[Key, SecretStr]:
        """Make a key, and its tenant where there is none yet. The secret is known to nobody else."""
        secret = new_secret()
        values = {
            "id": uuid7(),
            "created_at": datetime.now(UTC),
            "expires_at": order.expires_at,
            "tenant": order.tenant,
            "name": order.name or order.tenant,
            "prefix": shown(secret),
            "scopes": [scope.value for scope in dict.fromkeys(order.scopes)],
            "hash": digest(secret.get_secret_value().encode()),
            "limits": msgspec.json.encode(order.limits),
        }
        async with self._changing() as connection:
            await connection.execute(_tenant_if_new(order.tenant))
            row = await connection.execute(insert(KeyRow).values(values).returning(*_SHOWN))
            return _key(row.mappings().one()), secret

    async def page(self, *, tenant: str | None, limit: int, after: UUID | None = None) -> list[Key]:
        """Keys, the newest first; with `tenant`, of that one only."""
        query = select(*_SHOWN).order_by(_keys.c.id.desc()).limit(limit)
        if tenant is not None:
            query = query.where(_keys.c.tenant == tenant)
        if after is not None:
            query = query.where(_keys.c.id < after)
        async with self._connected() as connection:
            return [_key(row) for row in (await connection.execute(query)).mappings()]

    async def get(self, id: UUID) -> Key:
        """One key.

        Raises:
            NoSuchKey: there is none with this id.
        """
        async with self._connected() as connection:
            return await _one(connection, select(*_SHOWN).where(_keys.c.id == id))

    async def rotate(self, id: UUID, grace: timedelta) -> tuple[Key, SecretStr]:
        """Give a key another secret. The one before is taken for `grace` more, and no earlier one.

        Raises:
            NoSuchKey: there is none with this id that is not revoked.
        """
        secret = new_secret()
        kept = grace > timedelta(0)
        changes = {
            "hash": digest(secret.get_secret_value().encode()),
            "prefix": shown(secret),
            "former_hash": _keys.c.hash if kept else None,
            "former_until": func.now() + grace if kept else None,
        }
        async with self._changing() as connection:
            return await _one(connection, _changed(id, changes)), secret

    async def revoke(self, id: UUID) -> Key:
        """End a key for good.

        Raises:
            NoSuchKey: there is none with this id that is not revoked.
        """
        changes = {"revoked_at": func.now(), "former_hash": None, "former_until": None}
        async with self._changing() as connection:
            return await _one(connection, _changed(id, changes))

    async def tenant(self, name: str) -> Tenant | None:
        """What is known of a tenant; None of one that never had a key."""
        async with self._connected() as connection:
            row = (
                (await connection.execute(select(_tenants).where(_tenants.c.name == name))).mappings().first()
            )
        return _tenant(row) if row else None

    async def set_tenant(self, tenant: Tenant) -> None:
        """Give a tenant, new or not, this weight and these limits."""
        values = {"weight": tenant.weight, "limits": msgspec.json.encode(tenant.limits)}
        new = insert_or(TenantRow).values(name=tenant.name, **values)
        async with self._changing() as connection:
            await connection.execute(new.on_conflict_do_update(index_elements=["name"], set_=values))

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[AsyncConnection]:
        async with self._connected() as connection:
            yield connection
            await connection.execute(select(func.pg_notify(CHANNEL, "")))

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._engine.begin() as connection:
                yield connection
        except (DBAPIError, NoConnectionFree, *AWAY) as error:
            if blames_data(error):
                raise
            raise KeysUnavailable(_NO_TABLES if _misses_tables(error) else None) from None


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway needs to know of a key that can be used now."""

    id: UUID
    tenant: str
    scopes: frozenset[KeyScope]
    weight: float
    limits: Limits
    tenant_limits: Limits
    seconds: float | None
    """For how long it can be used yet; None for ever."""


_FIND = f"""
    SELECT k.id, k.hash, k.former_hash, k.scopes, k.tenant, k.limits, t.weight, t.limits AS tenant_limits,
           extract(epoch FROM expires_at - now())::float8 AS seconds,
           extract(epoch FROM least(expires_at, former_until) - now())::float8 AS former_seconds
    FROM keys k JOIN tenants t ON t.name = k.tenant
    WHERE (hash = ANY ($1::bytea[]) OR former_hash = ANY ($1::bytea[])) AND {_USABLE}"""  # noqa: S608  # our own text


async def find(connection: Connection, digests: Sequence[bytes]) -> dict[bytes, Found]:
    """The keys that can be used now, of those with these hashes."""
    wanted, found = set(digests), dict[bytes, Found]()
    for row in await connection.fetch(_FIND, digests):
        if row["hash"] in wanted:
            found[row["hash"]] = _found(row, row["seconds"])
        if row["former_hash"] in wanted and row["former_seconds"] > 0:
            found[row["former_hash"]] = _found(row, row["former_seconds"])
    return found


async def any_usable(connection: Connection) -> bool:
    """Whether there is a key that can be used now."""
    answer = await connection.fetchval(f"SELECT EXISTS (SELECT FROM keys WHERE {_USABLE})")  # noqa: S608  # our own
    return bool(answer)


def _found(row: asyncpg.Record, seconds: float | None) -> Found:
    return Found(
        id=row["id"],
        tenant=row["tenant"],
        scopes=frozenset(_scopes(row["scopes"])),
        weight=row["weight"],
        limits=_limits(row["limits"]),
        tenant_limits=_limits(row["tenant_limits"]),
        seconds=seconds,
    )


# A newer gateway on this database may know scopes and limits that this one does not: these mean nothing here.
def _scopes(names: Sequence[str]) -> tuple[KeyScope, ...]:
    return tuple(scope for scope in KeyScope if scope in names)


def _limits(text: bytes | str) -> Limits:
    limits = msgspec.json.decode(text, type=dict[str, int])
    return Limits(**{name: limits[name] for name in Limits.__struct_fields__ if name in limits})


def _key(row: RowMapping) -> Key:
    return Key(**{**row, "scopes": _scopes(row["scopes"]), "limits": _limits(row["limits"])})


def _tenant(row: RowMapping) -> Tenant:
    return Tenant(name=row["name"], weight=row["weight"], limits=_limits(row["limits"]))


def _misses_tables(error: BaseException) -> bool:
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) == _UNDEFINED_TABLE


def _tenant_if_new(name: str) -> Any:
    return insert_or(TenantRow).values(name=name).on_conflict_do_nothing()


def _changed(id: UUID, changes: Mapping[str, object]) -> Any:
    valid: ColumnElement[bool] = (_keys.c.id == id) & _keys.c.revoked_at.is_(None)
    return update(KeyRow).where(valid).values(changes).returning(*_SHOWN)


async def _one(connection: AsyncConnection, query: Any) -> Key:
    row = (await connection.execute(query)).mappings().first()
    if row is None:
        raise NoSuchKey
    return _key(row)
