"""`/v1/responses`. https://platform.openai.com/docs/api-reference/responses"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from adapters.access.body import check_content_type, read_body
from adapters.access.callers import Caller, Generator, Reader
from adapters.access.client import Client, ClientGone
from adapters.access.gate import answer_headers, request_id
from adapters.access.pieces import EVENTS, Pieces, begin
from adapters.access.reading import read
from adapters.errors import GatewayError, InvalidRequest
from adapters.responses import documentation
from adapters.responses.errors import ResponseNotFound
from adapters.responses.events import Event, encoded, framed, told_alone
from adapters.responses.ids import own_id, response_id
from adapters.responses.items import Shown
from adapters.responses.pages import Include, ItemsQuery, page_of
from adapters.responses.requests import PromptRequest, ResponseRequest
from adapters.responses.response import Facts, response
from adapters.responses.service import Responses
from adapters.settings import ServerSettings

_requests = msgspec.json.Decoder(ResponseRequest)
_prompts = msgspec.json.Decoder(PromptRequest)


class RetrieveQuery(BaseModel):
    """How to read a response."""

    stream: bool = Field(
        False, description="Its events, of one that was made in the background with `stream`."
    )
    starting_after: int | None = Field(
        None, ge=0, le=2**31 - 1, description="Only events after this sequence number."
    )
    include: Include = None
    include_obfuscation: bool | None = Field(None, description="Without effect here.")


def routes(responses: Responses, settings: ServerSettings) -> APIRouter:
    """The routes over responses."""
    router = APIRouter(prefix="/v1/responses", tags=["OpenAI"], responses=documentation.REFUSALS)

    @router.post(
        "",
        summary="Answer, whole, as a stream of events or in the background, and remember it",
        responses=documentation.ANSWER_OR_EVENTS,
        openapi_extra=documentation.body(ResponseRequest),
    )
    async def create_response(caller: Generator, request: Request) -> Response:
        """`previous_response_id` or `conversation` say what it goes on from. `store: false` leaves nothing to retrieve."""
        check_content_type(request.scope)
        asked = read(_requests, await read_body(request.receive, settings))
        return await _created(responses, caller, asked, request)

    @router.post(
        "/input_tokens",
        summary="How many tokens the model would be given",
        responses=documentation.ANSWER,
        openapi_extra=documentation.body(PromptRequest),
    )
    async def count_input_tokens(caller: Generator, request: Request) -> Response:
        """History, instructions, tools and the chat template are counted."""
        check_content_type(request.scope)
        asked = read(_prompts, await read_body(request.receive, settings))
        count = await responses.count_tokens(caller, asked, request_id(request.scope))
        return answer({"object": "response.input_tokens", "input_tokens": count})

    @router.get(
        "/{response_id}",
        summary="One response, or the events of one that was streamed in the background",
        responses=documentation.ANSWER_OR_EVENTS,
    )
    async def retrieve_response(
        caller: Reader,
        id: Annotated[UUID, Depends(_asked_id)],
        query: Annotated[RetrieveQuery, Query()],
        request: Request,
    ) -> Response:
        facts = await responses.find(caller, id)
        if not query.stream:
            return answer(response(facts))
        after = -1 if query.starting_after is None else query.starting_after
        return await _followed(responses, caller, facts, after, Client(request.receive))

    @router.delete("/{response_id}", summary="Delete a response", responses=documentation.ANSWER)
    async def delete_response(caller: Generator, id: Annotated[UUID, Depends(_asked_id)]) -> Response:
        """What was said in it is gone from the log and from its conversation as well."""
        await responses.delete(caller, id)
        return answer({"id": response_id(id), "object": "response", "deleted": True})

    @router.post(
        "/{response_id}/cancel", summary="Cancel a background response", responses=documentation.ANSWER
    )
    async def cancel_response(caller: Generator, id: Annotated[UUID, Depends(_asked_id)]) -> Response:
        """One that has ended stays as it is."""
        return answer(response(await responses.cancel(caller, id)))

    @router.get(
        "/{response_id}/input_items", summary="What a response was given", responses=documentation.ANSWER
    )
    async def list_input_items(
        caller: Reader, id: Annotated[UUID, Depends(_asked_id)], query: Annotated[ItemsQuery, Query()]
    ) -> Response:
        """Its own input, without what was said before."""
        facts = await responses.find(caller, id)
        return answer(page_of([view for view, _ in facts.shown_inputs], query))

    return router


def answer(value: Shown) -> Response:
    """A JSON answer."""
    return Response(msgspec.json.encode(value), media_type="application/json")


async def _created(
    responses: Responses, caller: Caller, asked: ResponseRequest, request: Request
) -> Response:
    id = request_id(request.scope)
    client = Client(request.receive, answer_headers(request.scope))
    if asked.background:
        facts = await responses.begin(caller, asked, id)
        return (
            await _followed(responses, caller, facts, -1, client) if asked.stream else answer(response(facts))
        )
    if asked.stream:
        return await begin(_framed(await responses.events(caller, asked, id, client)), client, _error_event)
    whole = answer(response(await responses.whole(caller, asked, id, client)))
    whole.raw_headers.append(client.timing("total"))
    return whole


async def _followed(
    responses: Responses, caller: Caller, facts: Facts, after: int, client: Client
) -> Response:
    if not (facts.fields.get("background") and facts.fields.get("stream")):
        raise InvalidRequest(
            "Only a response that was created with background and stream has events to read.", param="stream"
        )
    events = responses.follow(caller, facts.id, after, client)
    first = await anext(events, b"")  # what goes wrong before is the status of the response
    return Pieces(events, EVENTS, begun_with=first)


async def _framed(events: AsyncGenerator[list[Event], None]) -> AsyncGenerator[bytes, None]:
    try:
        async with aclosing(events):
            async for some in events:
                yield b"".join(framed(event["type"], encoded(event)) for event in some)
    except ClientGone:
        return


def _error_event(error: GatewayError) -> bytes:
    """An error of a response that had not begun, in a stream that has."""
    return b"".join(framed(event["type"], encoded(event)) for event in told_alone(error))


def _asked_id(response_id: str) -> UUID:
    id = own_id(response_id, "resp")
    if id is None:
        raise ResponseNotFound(param="response_id")
    return id
