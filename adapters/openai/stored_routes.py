"""`/v1/chat/completions` as an archive: what was created with `store: true` can be read, labelled and deleted.

https://platform.openai.com/docs/api-reference/chat/get and those beside it. Creating is the door's.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from adapters.access.body import check_content_type, read_body
from adapters.access.callers import Generator, Reader
from adapters.access.reading import read
from adapters.completions.requests import Metadata
from adapters.conversations.deletion import Deletion
from adapters.conversations.errors import ExchangeNotFound
from adapters.conversations.stored import StoredExchanges
from adapters.errors import InvalidRequest
from adapters.openai import stored
from adapters.openai.stored import (
    DeletedCompletion,
    StoredCompletion,
    StoredCompletions,
    StoredMessages,
)
from adapters.settings import ServerSettings

_ERROR = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "description": "There is no such stored chat completion, or `param` names what is not valid.",
        "content": _ERROR,
    },
    503: {"description": "The log cannot be used now.", "content": _ERROR},
}
_TEXT = {"type": "string", "maxLength": 512}
_METADATA_SCHEMA = {"type": "object", "additionalProperties": _TEXT, "maxProperties": 16}
_METADATA_IN_QUERY: dict[str, Any] = {
    "parameters": [
        {
            "name": "metadata",
            "in": "query",
            "required": False,
            "style": "deepObject",
            "explode": True,
            "schema": _METADATA_SCHEMA,
            "description": "Only completions that have all these pairs: `metadata[key]=value`.",
        }
    ]
}
_METADATA_IN_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"metadata": {"anyOf": [_METADATA_SCHEMA, {"type": "null"}]}},
                    "required": ["metadata"],
                    "additionalProperties": False,
                },
                "example": {"metadata": {"ticket": "17"}},
            }
        },
    }
}
_PAIR = re.compile(r"metadata\[(.*)\]", re.DOTALL)


class _Reading(BaseModel):
    limit: int = Field(20, ge=1, le=100, description="Most of them on the page; long ones make it shorter.")
    order: Literal["asc", "desc"] = Field("asc", description="`asc`: the oldest first.")


class CompletionsQuery(_Reading):
    """Which stored chat completions to list."""

    after: str | None = Field(None, description="List what follows this completion.")
    model: str | None = Field(
        None,
        max_length=512,
        pattern=r"^[^\x00]*$",
        description="Only this model, by the name that its answers have.",
    )


class MessagesQuery(_Reading):
    """Which messages to list."""

    model_config = ConfigDict(extra="forbid")

    after: str | None = Field(None, description="List what follows this message.")


class _Update(msgspec.Struct, forbid_unknown_fields=True):
    metadata: Metadata | None


_updates = msgspec.json.Decoder(_Update)


def routes(completions: StoredExchanges, deletion: Deletion, settings: ServerSettings) -> APIRouter:
    """The routes over what is stored."""
    router = APIRouter(prefix="/v1/chat/completions", tags=["OpenAI"], responses=_REFUSALS)

    @router.get(
        "",
        summary="List stored chat completions",
        response_model=StoredCompletions,
        openapi_extra=_METADATA_IN_QUERY,
    )
    async def list_completions(
        caller: Reader,
        query: Annotated[CompletionsQuery, Query()],
        metadata: Annotated[dict[str, str], Depends(_asked_metadata)],
    ) -> Response:
        """Those that were created with `store: true`."""
        page = await completions.page(
            caller.tenant,
            model=query.model,
            metadata=metadata,
            limit=query.limit,
            after=None if query.after is None else stored.exchange_id(query.after, param="after"),
            ascending=query.order == "asc",
        )
        return Response(stored.completions_json(page), media_type="application/json")

    @router.get("/{completion_id}", summary="One stored chat completion", response_model=StoredCompletion)
    async def retrieve_completion(caller: Reader, id: Annotated[UUID, Depends(_asked_id)]) -> Response:
        with _naming_the_completion():
            return _answer(stored.completion(await completions.get(caller.tenant, id)))

    @router.post(
        "/{completion_id}",
        summary="Replace the metadata of a stored chat completion",
        response_model=StoredCompletion,
        openapi_extra=_METADATA_IN_BODY,
    )
    async def update_completion(
        caller: Generator, id: Annotated[UUID, Depends(_asked_id)], request: Request
    ) -> Response:
        """`null` clears it."""
        check_content_type(request.scope)
        update = read(_updates, await read_body(request.receive, settings))
        with _naming_the_completion():
            exchange = await completions.set_metadata(caller.tenant, id, update.metadata or {})
        return _answer(stored.completion(exchange))

    @router.delete("/{completion_id}", summary="Delete a stored chat completion")
    async def delete_completion(
        caller: Generator, id: Annotated[UUID, Depends(_asked_id)]
    ) -> DeletedCompletion:
        """What was said in it is gone from the log as well. Its times, model and token counts remain there."""
        with _naming_the_completion():
            exchange = await completions.get(caller.tenant, id)
        await deletion.delete(exchange)
        return DeletedCompletion(id=stored.completion_id(exchange))

    @router.get(
        "/{completion_id}/messages",
        summary="The messages that a stored chat completion answers",
        response_model=StoredMessages,
    )
    async def list_messages(
        caller: Reader, id: Annotated[UUID, Depends(_asked_id)], query: Annotated[MessagesQuery, Query()]
    ) -> Response:
        """All that the request said, what it repeated from earlier ones included."""
        with _naming_the_completion():
            messages = stored.messages(await completions.branch(caller.tenant, id))
        page = stored.messages_json(
            messages, after=query.after, limit=query.limit, ascending=query.order == "asc"
        )
        return Response(page, media_type="application/json")

    return router


@contextmanager
def _naming_the_completion() -> Iterator[None]:
    """Say in this API's terms what was not found."""
    try:
        yield
    except ExchangeNotFound:
        raise stored.no_completion("completion_id") from None


def _answer(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


async def _asked_id(completion_id: str) -> UUID:
    return stored.exchange_id(completion_id, param="completion_id")


async def _asked_metadata(request: Request) -> dict[str, str]:
    """The pairs of `metadata[key]=value`, as the SDK writes them.

    Raises:
        InvalidRequest: there are too many, they are too long, or there is a parameter that nobody knows.
    """
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if pair := _PAIR.fullmatch(name):
            found[pair[1]] = value
        elif name not in CompletionsQuery.model_fields:
            raise InvalidRequest(
                f"This server does not take the parameter '{name}'.", param=name, code="unknown_parameter"
            )
    try:
        asked: dict[str, str] = msgspec.convert(found, Metadata)
    except msgspec.ValidationError as error:
        raise InvalidRequest(
            f"Invalid value for 'metadata': {error}.", param="metadata", code="invalid_value"
        ) from None
    return asked
