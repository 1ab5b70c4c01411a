"""`/log/exchanges`: the log, read back by the one who was part of it."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from adapters.access.callers import LOCAL
from adapters.conversations.deletion import Deletion
from adapters.conversations.repository import ExchangeRepository
from adapters.conversations.schemas import (
    DeletedExchange,
    ExchangeId,
    ExchangePage,
    ExchangeView,
    PageQuery,
    StatusView,
    exchange_json,
    page_json,
)
from adapters.conversations.status import LogStatus

_ERROR = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "description": "There is no such exchange, or `param` names what is not valid.",
        "content": _ERROR,
    },
    503: {"description": "The log cannot be used now.", "content": _ERROR},
}


def routes(repository: ExchangeRepository, deletion: Deletion, status: Callable[[], LogStatus]) -> APIRouter:
    """The routes over this repository."""
    router = APIRouter(prefix="/log", tags=["Log"], responses=_REFUSALS)

    @router.get("/status", summary="Where every exchange is that this gateway process was given")
    async def log_status() -> StatusView:
        """At any moment `accepted = committed + spooled + refused + lost + waiting`."""
        return StatusView.model_validate(status(), from_attributes=True)

    @router.get("/exchanges", summary="The log, newest first", response_model=ExchangePage)
    async def list_exchanges(query: Annotated[PageQuery, Query()]) -> Response:
        page = await repository.page(LOCAL, filters=query.filters(), limit=query.limit, after=query.after)
        return Response(page_json(page), media_type="application/json")

    @router.get("/exchanges/{id}", summary="One exchange", response_model=ExchangeView)
    async def get_exchange(id: ExchangeId) -> Response:
        return Response(exchange_json(await repository.get(LOCAL, id)), media_type="application/json")

    @router.delete("/exchanges/{id}", summary="Delete what was said in an exchange")
    async def delete_exchange(id: ExchangeId) -> DeletedExchange:
        """It stays in the log with its times, model and token counts, and without its texts."""
        await deletion.delete(await repository.get(LOCAL, id))
        return DeletedExchange(id=id)

    return router
