"""`/log`: the log, read back by the one who was part of it, with a say on it."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from adapters.access.callers import Caller, Generator, KeyScope, Overseer, Rater, Reader
from adapters.conversations.deletion import Deletion
from adapters.conversations.errors import LogUnavailable
from adapters.conversations.feedback import FeedbackRepository
from adapters.conversations.repository import ExchangeRepository, Filters, Page
from adapters.conversations.schemas import (
    DeletedExchange,
    ExchangeId,
    ExchangePage,
    ExchangeWithFeedback,
    FeedbackGiven,
    FeedbackView,
    PageQuery,
    SearchQuery,
    StatusView,
    TenantAsked,
    exchange_with_feedback_json,
    feedback_view,
    page_json,
)
from adapters.conversations.status import LogStatus
from adapters.errors import InvalidRequest

_ERROR = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "description": "There is no such exchange, or `param` names what is not valid.",
        "content": _ERROR,
    },
    503: {"description": "The log cannot be used now.", "content": _ERROR},
}
_A_FEEDBACK = {"rating": 1, "comment": "Just what I needed."}


def status_routes(status: Callable[[], LogStatus]) -> APIRouter:
    """The route over the whole of this process's log, without anything that was said."""
    router = APIRouter(prefix="/log", tags=["Log"])

    @router.get("/status", summary="Where every exchange is that this gateway process was given")
    async def log_status(_: Overseer) -> StatusView:
        """At any moment `accepted = committed + spooled + refused + lost + waiting`."""
        return StatusView.model_validate(status(), from_attributes=True)

    return router


def routes(
    repository: ExchangeRepository,
    feedback: FeedbackRepository,
    deletion: Deletion,
) -> APIRouter:
    """The routes over this log."""
    router = APIRouter(prefix="/log", tags=["Log"], responses=_REFUSALS)

    async def answer(tenant: str, page: Page) -> Response:
        given = await feedback.of_each(tenant, [exchange.id for exchange in page.exchanges])
        return Response(page_json(page, given), media_type="application/json")

    @router.get("/exchanges", summary="The log, newest first", response_model=ExchangePage)
    async def list_exchanges(caller: Reader, query: Annotated[PageQuery, Query()]) -> Response:
        tenant = _whose(caller, query.tenant)
        page = await repository.page(tenant, filters=query.filters(), limit=query.limit, after=query.after)
        return await answer(tenant, page)

    @router.get("/search", summary="What was said, by its words", response_model=ExchangePage)
    async def search(caller: Reader, query: Annotated[SearchQuery, Query()]) -> Response:
        """Newest first, in all languages alike: words are found as they were written, but for capitals."""
        tenant, filters = _whose(caller, query.tenant), Filters(words=query.q)
        page = await repository.page(tenant, filters=filters, limit=query.limit, after=query.after)
        return await answer(tenant, page)

    @router.get("/exchanges/{id}", summary="One exchange", response_model=ExchangeWithFeedback)
    async def get_exchange(caller: Reader, id: ExchangeId, tenant: TenantAsked = None) -> Response:
        tenant = _whose(caller, tenant)
        exchange = await repository.get(tenant, id)
        try:
            given = await feedback.of(tenant, id)
        except LogUnavailable:  # then the exchange came from the spool, and can be read all the same
            given = None
        return Response(exchange_with_feedback_json(exchange, given), media_type="application/json")

    @router.post(
        "/exchanges/{id}/feedback", summary="Say what an answer is worth", openapi_extra=_example(_A_FEEDBACK)
    )
    async def give_feedback(caller: Rater, id: ExchangeId, given: FeedbackGiven) -> FeedbackView:
        """A rating, a comment, and which other answer in the same place it is better than. Members that are left out
        stay as they are.
        """
        if not given.model_fields_set:
            raise InvalidRequest("Give a rating, a comment or preferred_over.", param="rating")
        return FeedbackView.model_validate(
            feedback_view(await feedback.give(caller.tenant, id, given.values()))
        )

    @router.delete("/exchanges/{id}", summary="Delete what was said in an exchange")
    async def delete_exchange(caller: Generator, id: ExchangeId) -> DeletedExchange:
        """It stays in the log with its times, model and token counts, and without its texts."""
        await deletion.delete(await repository.get(caller.tenant, id))
        return DeletedExchange(id=id)

    return router


def _whose(caller: Caller, asked: str | None) -> str:
    """The tenant whose log is read: the caller's own, or any other for whoever may read all."""
    if asked is None or asked == caller.tenant:
        return caller.tenant
    caller.require(KeyScope.READ_ALL)
    return asked


def _example(body: object) -> dict[str, Any]:
    return {"requestBody": {"content": {"application/json": {"example": body}}}}
