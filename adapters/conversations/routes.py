"""`/log`: the log, read back by the one who was part of it, with a say on it."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from adapters.access.callers import LOCAL
from adapters.conversations.deletion import Deletion
from adapters.conversations.errors import LogUnavailable
from adapters.conversations.feedback import FeedbackRepository
from adapters.conversations.repository import ExchangeRepository, Filters
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


def routes(
    repository: ExchangeRepository,
    feedback: FeedbackRepository,
    deletion: Deletion,
    status: Callable[[], LogStatus],
) -> APIRouter:
    """The routes over this log."""
    router = APIRouter(prefix="/log", tags=["Log"], responses=_REFUSALS)

    @router.get("/status", summary="Where every exchange is that this gateway process was given")
    async def log_status() -> StatusView:
        """At any moment `accepted = committed + spooled + refused + lost + waiting`."""
        return StatusView.model_validate(status(), from_attributes=True)

    @router.get("/exchanges", summary="The log, newest first", response_model=ExchangePage)
    async def list_exchanges(query: Annotated[PageQuery, Query()]) -> Response:
        page = await repository.page(LOCAL, filters=query.filters(), limit=query.limit, after=query.after)
        return Response(page_json(page), media_type="application/json")

    @router.get("/search", summary="What was said, by its words", response_model=ExchangePage)
    async def search(query: Annotated[SearchQuery, Query()]) -> Response:
        """Newest first, in all languages alike: words are found as they were written, but for capitals."""
        filters = Filters(words=query.q)
        page = await repository.page(LOCAL, filters=filters, limit=query.limit, after=query.after)
        return Response(page_json(page), media_type="application/json")

    @router.get("/exchanges/{id}", summary="One exchange", response_model=ExchangeWithFeedback)
    async def get_exchange(id: ExchangeId) -> Response:
        exchange = await repository.get(LOCAL, id)
        try:
            given = await feedback.of(LOCAL, id)
        except LogUnavailable:  # then the exchange came from the spool, and can be read all the same
            given = None
        return Response(exchange_with_feedback_json(exchange, given), media_type="application/json")

    @router.post(
        "/exchanges/{id}/feedback", summary="Say what an answer is worth", openapi_extra=_example(_A_FEEDBACK)
    )
    async def give_feedback(id: ExchangeId, given: FeedbackGiven) -> FeedbackView:
        """A rating, a comment, and which other answer in the same place it is better than. Members that are left out
        stay as they are.
        """
        if not given.model_fields_set:
            raise InvalidRequest("Give a rating, a comment or preferred_over.", param="rating")
        return FeedbackView.model_validate(feedback_view(await feedback.give(LOCAL, id, given.values())))

    @router.delete("/exchanges/{id}", summary="Delete what was said in an exchange")
    async def delete_exchange(id: ExchangeId) -> DeletedExchange:
        """It stays in the log with its times, model and token counts, and without its texts."""
        await deletion.delete(await repository.get(LOCAL, id))
        return DeletedExchange(id=id)

    return router


def _example(body: object) -> dict[str, Any]:
    return {"requestBody": {"content": {"application/json": {"example": body}}}}
