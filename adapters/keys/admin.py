"""The admin API: keys over HTTP, on a listener of its own."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar
from uuid import UUID

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from adapters.access.body import check_content_type, read_body
from adapters.access.callers import Administrator, Limits
from adapters.access.reading import read
from adapters.errors import InvalidRequest
from adapters.keys.key import NAME, Key, Order, Tenant, Weight
from adapters.keys.repository import KeyRepository
from adapters.settings import ServerSettings

_MOST_GRACE_SECONDS = 3e7


class KeysQuery(BaseModel):
    """Which keys to list."""

    model_config = ConfigDict(extra="forbid")

    tenant: str | None = Field(None, max_length=64, pattern=r"^[^\x00]*$", description="Only this tenant's.")
    limit: int = Field(20, ge=1, le=100, description="Most keys on the page.")
    after: UUID | None = Field(None, description="List what is older than this key.")


class Rotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to rotate a key."""

    grace_seconds: Annotated[float, msgspec.Meta(ge=0, le=_MOST_GRACE_SECONDS)] = 0.0


class TenantChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a tenant is to have."""

    weight: Weight = 1.0
    limits: Limits = Limits()


_orders = msgspec.json.Decoder(Order)
_rotations = msgspec.json.Decoder(Rotation)
_changes = msgspec.json.Decoder(TenantChange)
_Body = TypeVar("_Body")
TenantName = Annotated[str, Path(pattern=f"^{NAME}$")]


def routes(keys: KeyRepository, settings: ServerSettings) -> APIRouter:
    """The routes over keys."""
    router = APIRouter(prefix="/admin", tags=["Admin"])

    async def body_of(request: Request, decoder: "msgspec.json.Decoder[_Body]") -> _Body:
        check_content_type(request.scope)
        return read(decoder, await read_body(request.receive, settings))

    @router.post("/keys", summary="Make a key", status_code=201)
    async def create_key(_: Administrator, request: Request) -> Response:
        """`key` in the answer is the key itself, this once."""
        order = await body_of(request, _orders)
        if order.expires_at is not None and order.expires_at <= datetime.now(UTC):
            raise InvalidRequest("This moment has passed.", param="expires_at", code="invalid_value")
        key, secret = await keys.create(order)
        return _answer({**_shown(key), "key": secret.get_secret_value()}, 201)

    @router.get("/keys", summary="Keys, newest first")
    async def list_keys(_: Administrator, query: Annotated[KeysQuery, Query()]) -> Response:
        found = await keys.page(tenant=query.tenant, limit=query.limit + 1, after=query.after)
        page = [_shown(key) for key in found[: query.limit]]
        return _answer({"object": "list", "data": page, "has_more": len(found) > query.limit})

    @router.get("/keys/{id}", summary="One key")
    async def get_key(_: Administrator, id: UUID) -> Response:
        return _answer(_shown(await keys.get(id)))

    @router.post("/keys/{id}/rotate", summary="Give a key another secret")
    async def rotate_key(_: Administrator, id: UUID, request: Request) -> Response:
        """`key` in the answer is the key itself, this once. The old one is taken for `grace_seconds` more."""
        rotation = await body_of(request, _rotations)
        key, secret = await keys.rotate(id, timedelta(seconds=rotation.grace_seconds))
        return _answer({**_shown(key), "key": secret.get_secret_value()})

    @router.delete("/keys/{id}", summary="Revoke a key")
    async def revoke_key(_: Administrator, id: UUID) -> Response:
        """For good. Answers that have begun go on."""
        return _answer(_shown(await keys.revoke(id)))

    @router.get("/tenants/{name}", summary="One tenant")
    async def get_tenant(_: Administrator, name: TenantName) -> Response:
        return _answer(await keys.tenant(name) or Tenant(name=name))

    @router.put("/tenants/{name}", summary="Set a tenant's weight and limits")
    async def set_tenant(_: Administrator, name: TenantName, request: Request) -> Response:
        """What is left out is set to a weight of 1 and to no limit."""
        change = await body_of(request, _changes)
        tenant = Tenant(name=name, weight=change.weight, limits=change.limits)
        await keys.set_tenant(tenant)
        return _answer(tenant)

    return router


def _shown(key: Key) -> dict[str, object]:
    return {"object": "key", **msgspec.structs.asdict(key), "state": key.state}


def _answer(value: object, status: int = 200) -> Response:
    headers = {"cache-control": "no-store"}
    return Response(msgspec.json.encode(value), status, headers, media_type="application/json")
