"""The /zephyr endpoints: one route for each file, with its validation and its entry in the API's description."""

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from uuid import UUID

from fastapi import APIRouter, Request, Response
from uuid_utils.compat import uuid7

from adapters.access.body import read_body
from adapters.access.callers import Caller, KeyScope, permitted
from adapters.access.client import Client
from adapters.access.gate import answer_headers, request_id
from adapters.access.pieces import Pieces, begin
from adapters.completions.relay import Completions
from adapters.completions.run import ExchangeLog
from adapters.errors import GatewayError, InvalidRequest
from adapters.settings import Settings
from adapters.zephyr import bodies, documentation
from adapters.zephyr.answer import Answer, TokenCounts
from adapters.zephyr.document import StreamedDocument
from adapters.zephyr.endpoint import Endpoint
from adapters.zephyr.lines import results
from adapters.zephyr.question import Question, Questioner
from adapters.zephyr.requests import request_model, validate
from adapters.zephyr.streamed import NO_PROMPT, Streamed, StreamedText
from adapters.zephyr.streaming import events_of


def routes(
    endpoints: Iterable[Endpoint],
    *,
    completions: Completions,
    log: ExchangeLog,
    questioner: Questioner,
    settings: Settings,
) -> APIRouter:
    """A route for each endpoint."""
    router = APIRouter(tags=["Zephyr"])
    for endpoint in endpoints:
        door = EndpointDoor(endpoint, completions, log, questioner, settings)
        router.add_api_route(
            endpoint.path,
            door.handle,
            methods=["POST"],
            response_model=Answer,
            **documentation.operation(endpoint, door.model),
        )
    return router


class EndpointDoor:
    """One endpoint at work."""

    def __init__(
        self,
        endpoint: Endpoint,
        completions: Completions,
        log: ExchangeLog,
        questioner: Questioner,
        settings: Settings,
    ) -> None:
        self.model = request_model(endpoint)
        self._endpoint = endpoint
        self._completions = completions
        self._log = log
        self._questioner = questioner
        self._settings = settings
        self._in_query = [name for name, field in endpoint.fields.items() if field.in_query]

    async def handle(self, request: Request) -> Response:
        """Answer one request, or the many of a body with one on each line."""
        caller = permitted(request.scope, KeyScope.GENERATE)
        kind = bodies.kind(request.headers.get("content-type"))
        body = await read_body(request.receive, self._settings.server)
        client = Client(request.receive, answer_headers(request.scope))
        if kind == "lines":
            return self._lines(caller, body, client, request_id(request.scope))
        asked = validate(self.model, self._fields(body, request.query_params))
        with self._in_own_words():
            question = await self._questioner.question(
                caller, self._endpoint, asked, request_id(request.scope)
            )
            if asked.stream:
                return await begin(self._events(question, client), client, GatewayError.event)
            answer = await self._answer(question, client)
        response = Response(answer.json_object(), media_type="application/json")
        response.raw_headers.append(client.timing("total"))
        return response

    async def _events(self, question: Question, client: Client) -> AsyncGenerator[bytes, None]:
        with self._in_own_words():
            async with aclosing(events_of(self._streamed(question, client))) as events:
                async for event in events:
                    yield event

    def _fields(self, body: bytes, query: Mapping[str, str]) -> object:
        fields = bodies.parse(body) if body.strip() else {}
        if not isinstance(fields, dict):
            return fields
        return {name: query[name] for name in self._in_query if name in query} | fields

    def _lines(self, caller: Caller, body: bytes, client: Client, id: UUID) -> Response:
        lines = bodies.lines(body, self._settings.code.max_lines)

        async def answer(line: bytes) -> Answer:
            asked = validate(self.model, bodies.parse(line))
            if asked.stream:
                raise InvalidRequest("One of many lines is not streamed.", param="stream")
            with self._in_own_words():
                question = await self._questioner.question(caller, self._endpoint, asked, uuid7(), line_of=id)
                return await self._answer(question, client)

        return Pieces(results(lines, answer, self._settings.code.lines_at_once), "application/x-ndjson")

    async def _answer(self, question: Question, client: Client) -> Answer:
        if self._endpoint.answer == "sections":
            document = self._streamed(question, client)
            async for _ in document.deltas():
                continue
            return document.answer
        completion = await self._completions.complete(question.generation, client)
        text, warnings = completion.text.strip(), question.warnings
        if self._endpoint.answer == "transcript":
            text = (completion.prompt_text or "") + completion.text
            warnings = warnings if completion.prompt_text is not None else (*warnings, NO_PROMPT)
        return Answer(
            response=text,
            id=completion.id,
            conversation=completion.conversation_id,
            model=completion.model,
            finish_reason=completion.finish_reason,
            usage=TokenCounts.of(completion.usage),
            warnings=warnings or None,
        )

    def _streamed(self, question: Question, client: Client) -> Streamed:
        if self._endpoint.answer == "sections":
            return StreamedDocument(self._completions, self._log, question, client)
        return StreamedText(self._completions, question, client)

    @contextmanager
    def _in_own_words(self) -> Iterator[None]:
        """Name a field that the engine refuses as this endpoint calls it."""
        try:
            yield
        except InvalidRequest as error:
            own = {"max_tokens": "max_new_tokens", "messages": next(iter(self._endpoint.fields))}
            error.param = own.get(error.param or "", error.param)
            raise
