"""A request to an endpoint, made into what the one path of generation is asked."""

from dataclasses import dataclass
from uuid import UUID

import msgspec

from adapters.access.callers import Caller
from adapters.completions.generation import Generation
from adapters.completions.requests import ChatRequest, ChatRequestWithPrompt, Message
from adapters.completions.threads import follow
from adapters.conversations.errors import ConversationTooLong, ExchangeNotFound
from adapters.conversations.exchange import LINE_OF
from adapters.conversations.repository import ExchangeRepository
from adapters.zephyr.endpoint import Endpoint
from adapters.zephyr.formatting import Formatter
from adapters.zephyr.prompts import fill
from adapters.zephyr.requests import Asked, says_who_the_model_is, texts
from adapters.zephyr.thread import Thread, thread_of

_ENGINE_PATH = "/v1/chat/completions"
_EXCHANGE = (
    "chatcmpl-"  # before an id says that it is an exchange's, though its conversation may have the same
)
_PYTHON = {"python", "python3", "py"}


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the model is asked, and what is known about the answer before it comes."""

    endpoint: Endpoint
    generation: Generation
    messages: tuple[Message, ...]
    asked: Asked
    warnings: tuple[str, ...] = ()


class Questioner:
    """Makes questions of requests."""

    def __init__(self, *, history: ExchangeRepository, formatter: Formatter) -> None:
        self._history = history
        self._formatter = formatter

    async def question(
        self, caller: Caller, endpoint: Endpoint, asked: Asked, id: UUID, *, line_of: UUID | None = None
    ) -> Question:
        """Format the code if the endpoint says so, fill in the templates, and put what was said before in front.

        `line_of` is the request that this is one of many lines of.

        Raises:
            ExchangeNotFound: there is no such conversation.
            ConversationTooLong: it is longer than can be continued.
        """
        thread = await self._thread(caller.tenant, asked.conversation)
        values = texts(endpoint, asked)
        warning = await self._format(endpoint, values)
        user = Message(role="user", content=fill(endpoint.user, values))
        system = Message(role="system", content=_system(endpoint, asked, values, thread))
        messages = (system, *(thread.turns if thread else ()), user)
        new = [user] if thread and thread.system == system.content else [system, user]
        generation = Generation(
            id=id,
            caller=caller,
            door="zephyr",
            endpoint=endpoint.path,
            path=_ENGINE_PATH,
            request=chat_request(endpoint, asked, messages, asked.max_new_tokens),
            input=msgspec.json.encode(new),
            parameters=_logged_parameters(asked, (user.content, system.content), line_of),
            conversation_id=thread.conversation_id if thread else None,
            parent_id=thread.last_id if thread else None,
            followed=follow(caller.tenant, messages),
        )
        return Question(
            endpoint=endpoint,
            generation=generation,
            messages=messages,
            asked=asked,
            warnings=(warning,) if warning else (),
        )

    async def _thread(self, tenant: str, conversation: str | None) -> Thread | None:
        if conversation is None:
            return None
        plain = conversation.removeprefix(_EXCHANGE)
        try:
            of = UUID(plain)
        except ValueError:
            raise _no_conversation() from None
        exact = plain != conversation
        try:
            return thread_of(await self._history.conversation(tenant, of, exact=exact))
        except ExchangeNotFound:
            raise _no_conversation() from None
        except ConversationTooLong as error:
            error.param = "conversation"
            raise

    async def _format(self, endpoint: Endpoint, values: dict[str, str]) -> str | None:
        name = endpoint.format_with_black
        if name is None or values.get("language", "python").strip().lower() not in _PYTHON:
            return None
        formatted = await self._formatter.format(values[name])
        values[name] = formatted.code.removesuffix("\n")
        return formatted.warning


def _no_conversation() -> ExchangeNotFound:
    return ExchangeNotFound("There is no such conversation.", param="conversation")


def chat_request(
    endpoint: Endpoint, asked: Asked, messages: tuple[Message, ...], max_tokens: int
) -> ChatRequest:
    """What goes to the engine."""
    if endpoint.answer == "transcript":
        request: ChatRequest = ChatRequestWithPrompt(messages=list(messages), return_prompt_text=True)
    else:
        request = ChatRequest(messages=list(messages))
    request.stream = asked.stream or endpoint.answer == "sections"
    request.max_tokens = max_tokens
    if asked.greedy:
        request.temperature = 0.0
    else:
        request.temperature, request.top_p, request.top_k = asked.temperature, asked.top_p, asked.top_k
    return request


def _system(endpoint: Endpoint, asked: Asked, values: dict[str, str], thread: Thread | None) -> str:
    """The endpoint's system message; a conversation that goes on at the same endpoint keeps its own, unless the
    request says otherwise."""
    goes_on = thread is not None and thread.endpoint == endpoint.path
    own = thread.system if thread and goes_on and not says_who_the_model_is(endpoint, asked) else None
    return fill(endpoint.system, values) if own is None else own


def _logged_parameters(asked: Asked, turns: tuple[object, ...], line_of: UUID | None) -> bytes:
    """The fields as they came. One that is the whole of a turn already stands in the input."""
    fields = asked.model_dump(exclude_none=True)
    logged = {name: value for name, value in fields.items() if value not in turns}
    return msgspec.json.encode(logged if line_of is None else {**logged, LINE_OF: line_of})
