"""A request for a response, made into what the one path of generation is asked."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from adapters.access.callers import Caller
from adapters.completions.generation import Generation
from adapters.completions.requests import ChatRequest
from adapters.engine.watch import EngineWatch
from adapters.errors import InvalidRequest
from adapters.responses.answering import Draft
from adapters.responses.history import Earlier, History, conversation_of
from adapters.responses.holds import Hold, Holds
from adapters.responses.items import Item, Reference, messages, read_input, without_a_call
from adapters.responses.requests import PromptRequest, ResponseRequest, check_chat
from adapters.responses.response import ENDPOINT, Facts
from adapters.settings import RequestSettings

_ENGINE_PATH = "/v1/chat/completions"


class Drafts:
    """Makes drafts of requests."""

    def __init__(
        self, *, history: History, holds: Holds, watch: EngineWatch, settings: RequestSettings
    ) -> None:
        self._history = history
        self._holds = holds
        self._watch = watch
        self._settings = settings

    async def draft(self, caller: Caller, request: ResponseRequest, id: UUID) -> Draft:
        """What is to be made. In a conversation, and in the background, it is held from now on.

        Raises:
            GatewayError: the request cannot be answered, or not now.
        """
        request.check()
        model = self._watch.require_model(request.model)
        given, text = await self._given(caller, request)
        facts = Facts(
            id=id,
            status="queued" if request.background else "in_progress",
            model=model,
            input=text,
            parameters=request.parameters(),
            metadata=msgspec.json.encode(request.metadata or {}),
        )
        hold = await self._hold(caller, request, facts)
        try:
            earlier = await self._history.before(caller.tenant, request)
            chat = self._chat(request, earlier, given)
        except BaseException:
            if hold is not None:
                await self._holds.drop(hold)
            raise
        chat.stream = bool(request.stream or request.background)
        id = hold.id if hold else id
        generation = Generation(
            id=id,
            caller=caller,
            door="openai",
            endpoint=ENDPOINT,
            path=_ENGINE_PATH,
            request=chat,
            input=facts.input,
            parameters=facts.parameters,
            metadata=facts.metadata,
            conversation_id=earlier.conversation_id,
            parent_id=earlier.parent_id,
        )
        return Draft(generation=generation, facts=msgspec.structs.replace(facts, id=id), hold=hold)

    async def prompt(self, caller: Caller, request: PromptRequest) -> ChatRequest:
        """What the model would be asked.

        Raises:
            GatewayError: the request could not be answered.
        """
        request.check()
        given, _ = await self._given(caller, request)
        return self._chat(request, await self._history.before(caller.tenant, request), given)

    async def _given(self, caller: Caller, request: PromptRequest) -> tuple[list[Item], bytes]:
        """The new items, and their JSON for the log: as the client wrote it, but for references, which others may delete."""
        written = read_input(request.written)
        if not any(isinstance(one.item, Reference) for one in written):
            return [one.item for one in written if not isinstance(one.item, Reference)], request.written
        name = request.conversation_name
        resolved = await self._history.resolved(
            caller.tenant, written, conversation_of(name) if name else None
        )
        items = [one.item for one in resolved if not isinstance(one.item, Reference)]
        return items, b"[" + b",".join(one.text for one in resolved) + b"]"

    async def _hold(self, caller: Caller, request: ResponseRequest, facts: Facts) -> Hold | None:
        name, background = request.conversation_name, bool(request.background)
        if name is None and not background:
            return None
        conversation = conversation_of(name) if name else None
        return await self._holds.take(caller.tenant, facts, conversation=conversation, background=background)

    def _chat(self, request: PromptRequest, earlier: Earlier, given: list[Item]) -> ChatRequest:
        chat = request.chat(messages(_all_said(earlier.items, given)))
        check_chat(chat, self._settings)
        return chat


def _all_said(earlier: Sequence[Item], given: Sequence[Item]) -> list[Item]:
    """What was said before, and what is new. Outputs of calls that were deleted are left out of the former.

    Raises:
        InvalidRequest: a new output is that of no call.
    """
    lost = without_a_call(earlier)
    items = [*(item for item in earlier if item not in lost), *given]
    if wrong := without_a_call(items):
        raise InvalidRequest(
            f"No tool call found for function call output with call_id {wrong[0].call_id}.", param="input"
        )
    return items
