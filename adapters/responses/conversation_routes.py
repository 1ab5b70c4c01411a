"""`/v1/conversations`. https://platform.openai.com/docs/api-reference/conversations"""

from contextlib import suppress
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from adapters.access.body import check_content_type, read_body
from adapters.access.callers import Generator, Reader
from adapters.access.reading import read
from adapters.conversations.schemas import (
    ConversationId,
    ConversationNamed,
    ConversationNamedView,
    DeletedConversation,
)
from adapters.conversations.whole import WholeConversations
from adapters.responses import documentation
from adapters.responses.conversation_list import ConversationList
from adapters.responses.conversations import (
    ConversationRequest,
    Conversations,
    ItemsRequest,
    MetadataRequest,
)
from adapters.responses.errors import ConversationNotFound
from adapters.responses.history import conversation_of
from adapters.responses.pages import ItemsQuery
from adapters.responses.routes import answer
from adapters.responses.schemas import ConversationPage, ConversationQuery, conversation_page
from adapters.settings import ServerSettings

_conversations = msgspec.json.Decoder(ConversationRequest)
_metadata = msgspec.json.Decoder(MetadataRequest)
_items = msgspec.json.Decoder(ItemsRequest)
_A_TITLE: dict[str, Any] = {
    "requestBody": {"content": {"application/json": {"example": {"title": "Queues and stacks"}}}}
}


def routes(conversations: Conversations, settings: ServerSettings) -> APIRouter:
    """The routes over conversations."""
    router = APIRouter(prefix="/v1/conversations", tags=["OpenAI"], responses=documentation.REFUSALS)

    async def body_of(request: Request) -> bytes:
        check_content_type(request.scope)
        return await read_body(request.receive, settings)

    @router.post(
        "",
        summary="Begin a conversation",
        responses=documentation.ANSWER,
        openapi_extra=documentation.body(ConversationRequest),
    )
    async def create_conversation(caller: Generator, request: Request) -> Response:
        """Name it as `conversation` of a response, and what is said there becomes part of it."""
        return answer(await conversations.create(caller, read(_conversations, await body_of(request))))

    @router.get("/{conversation_id}", summary="One conversation", responses=documentation.ANSWER)
    async def retrieve_conversation(caller: Reader, id: Annotated[UUID, Depends(_asked_id)]) -> Response:
        return answer(await conversations.retrieve(caller, id))

    @router.post(
        "/{conversation_id}",
        summary="Replace the metadata of a conversation",
        responses=documentation.ANSWER,
        openapi_extra=documentation.body(MetadataRequest),
    )
    async def update_conversation(
        caller: Generator, id: Annotated[UUID, Depends(_asked_id)], request: Request
    ) -> Response:
        """`null` clears it."""
        return answer(await conversations.update(caller, id, read(_metadata, await body_of(request))))

    @router.delete("/{conversation_id}", summary="Delete a conversation", responses=documentation.ANSWER)
    async def delete_conversation(caller: Generator, id: Annotated[UUID, Depends(_asked_id)]) -> Response:
        """And what was added to it; responses that were made in it stay."""
        return answer(await conversations.delete(caller, id))

    @router.post(
        "/{conversation_id}/items",
        summary="Add items to a conversation",
        responses=documentation.ANSWER,
        openapi_extra=documentation.body(ItemsRequest),
    )
    async def create_items(
        caller: Generator, id: Annotated[UUID, Depends(_asked_id)], request: Request
    ) -> Response:
        """Up to 20 at once."""
        return answer(await conversations.add(caller, id, read(_items, await body_of(request))))

    @router.get(
        "/{conversation_id}/items", summary="What is in a conversation", responses=documentation.ANSWER
    )
    async def list_items(
        caller: Reader, id: Annotated[UUID, Depends(_asked_id)], query: Annotated[ItemsQuery, Query()]
    ) -> Response:
        """What was said in responses and what was added, in order."""
        return answer(await conversations.items(caller, id, query))

    @router.get(
        "/{conversation_id}/items/{item_id}",
        summary="One item of a conversation",
        responses=documentation.ANSWER,
    )
    async def retrieve_item(
        caller: Reader, id: Annotated[UUID, Depends(_asked_id)], item_id: str
    ) -> Response:
        return answer(await conversations.item(caller, id, item_id))

    @router.delete(
        "/{conversation_id}/items/{item_id}",
        summary="Delete an item from a conversation",
        responses=documentation.ANSWER,
    )
    async def delete_item(
        caller: Generator, id: Annotated[UUID, Depends(_asked_id)], item_id: str
    ) -> Response:
        """What a response said stays in the response."""
        return answer(await conversations.remove(caller, id, item_id))

    return router


def list_routes(conversations: ConversationList) -> APIRouter:
    """The route over the list of them, which OpenAI's API has not."""
    router = APIRouter(prefix="/v1/conversations", tags=["Log"], responses=documentation.REFUSALS)

    @router.get("", summary="Your conversations, the one with the newest exchange first")
    async def list_conversations(
        caller: Reader, query: Annotated[ConversationQuery, Query()]
    ) -> ConversationPage:
        """Also those that other requests make by going on from what was said. One in which nothing was said yet is not
        listed."""
        return conversation_page(
            await conversations.page(caller.tenant, limit=query.limit, after=query.after)
        )

    return router


def whole_routes(whole: WholeConversations, conversations: Conversations) -> APIRouter:
    """The routes over any conversation as a whole, whichever door it came through."""
    router = APIRouter(prefix="/log/conversations", tags=["Log"], responses=documentation.REFUSALS)

    @router.post("/{id}", summary="Rename a conversation", openapi_extra=_A_TITLE)
    async def rename_conversation(
        caller: Generator, id: ConversationId, named: ConversationNamed
    ) -> ConversationNamedView:
        """`GET /v1/conversations` shows the title."""
        await whole.name(caller.tenant, id, named.title)
        return ConversationNamedView(id=id, title=named.title)

    @router.delete("/{id}", summary="Delete what was said in a conversation")
    async def delete_conversation(caller: Generator, id: ConversationId) -> DeletedConversation:
        """In all its branches, the newest exchanges first. They stay in the log with their times, models and token counts, and
        without their texts. A long conversation takes several requests."""
        deleted, has_more = await whole.delete(caller.tenant, id)
        if not has_more:
            with suppress(ConversationNotFound):  # it was not begun by the Conversations API
                await conversations.delete(caller, id)
        return DeletedConversation(id=id, deleted=deleted, has_more=has_more)

    return router


def _asked_id(conversation_id: str) -> UUID:
    return conversation_of(conversation_id, "conversation_id")
