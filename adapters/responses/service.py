"""What clients do with responses."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from uuid import UUID

from adapters.access.callers import Caller
from adapters.access.client import Client
from adapters.completions.relay import Completions
from adapters.conversations.deletion import Deletion
from adapters.conversations.errors import ExchangeNotFound
from adapters.conversations.repository import ExchangeRepository
from adapters.errors import InvalidRequest
from adapters.responses.answering import Answering
from adapters.responses.background import Background, Following
from adapters.responses.drafts import Drafts
from adapters.responses.events import Event
from adapters.responses.repository import ResponseRepository
from adapters.responses.requests import PromptRequest, ResponseRequest, in_own_words
from adapters.responses.response import Facts

_OPEN = ("queued", "in_progress")
_CANCELLING_SECONDS = 5.0
_POLL_SECONDS = 0.05


class Responses:
    """Creates, finds, cancels and deletes them."""

    def __init__(
        self,
        *,
        drafts: Drafts,
        answering: Answering,
        background: Background,
        following: Following,
        completions: Completions,
        log: ExchangeRepository,
        deletion: Deletion,
        repository: ResponseRepository,
    ) -> None:
        self._drafts = drafts
        self._answering = answering
        self._background = background
        self._following = following
        self._completions = completions
        self._log = log
        self._deletion = deletion
        self._repository = repository

    async def whole(self, caller: Caller, request: ResponseRequest, id: UUID, client: Client) -> Facts:
        """Make a response."""
        return await self._answering.whole(await self._drafts.draft(caller, request, id), client)

    async def events(
        self, caller: Caller, request: ResponseRequest, id: UUID, client: Client
    ) -> AsyncGenerator[list[Event], None]:
        """Make a response, and tell of it as it comes."""
        return self._answering.events(await self._drafts.draft(caller, request, id), client)

    async def begin(self, caller: Caller, request: ResponseRequest, id: UUID) -> Facts:
        """Have a response made in the background.

        Raises:
            Overloaded: as many are being made as may be.
        """
        self._background.require_room()
        draft = await self._drafts.draft(caller, request, id)
        self._background.begin(draft, streamed=bool(request.stream))
        return draft.facts

    async def find(self, caller: Caller, id: UUID) -> Facts:
        """What is known of a response now.

        Raises:
            ResponseNotFound: this caller has stored no such response, or has deleted it.
        """
        return await self._following.find(caller.tenant, id)

    def follow(self, caller: Caller, id: UUID, after: int, client: Client) -> AsyncGenerator[bytes, None]:
        """The events of a background stream after this sequence number, up to its end."""
        return self._following.events(caller.tenant, id, after, client)

    async def cancel(self, caller: Caller, id: UUID) -> Facts:
        """Stop a background response, wherever it is made, and return when it has stopped or did not in good time.

        Raises:
            InvalidRequest: it is not in the background.
        """
        facts = await self.find(caller, id)
        if not facts.fields.get("background"):
            raise InvalidRequest(
                "Only a background response can be cancelled; of another, close the connection.",
                param="response_id",
            )
        if facts.status in _OPEN:
            await self._repository.request_cancel(caller.tenant, id)
            await self._background.cancel(id)
            facts = await self._until_ended(caller, id)
        return facts

    async def _until_ended(self, caller: Caller, id: UUID) -> Facts:
        ends = asyncio.get_running_loop().time() + _CANCELLING_SECONDS
        while True:
            facts = await self.find(caller, id)
            if facts.status not in _OPEN or asyncio.get_running_loop().time() > ends:
                return facts
            await asyncio.sleep(_POLL_SECONDS)

    async def delete(self, caller: Caller, id: UUID) -> None:
        """Delete what was said in a response.

        Raises:
            InvalidRequest: it is still being made.
        """
        facts = await self.find(caller, id)
        if facts.status in _OPEN:
            raise InvalidRequest("This response is still being made: cancel it first.", param="response_id")
        with suppress(ExchangeNotFound):  # of one of which nothing came
            await self._deletion.delete(await self._log.get(caller.tenant, id))
        await self._repository.delete_events(caller.tenant, id)

    async def count_tokens(self, caller: Caller, request: PromptRequest, id: UUID) -> int:
        """How many tokens the model would be given."""
        with in_own_words():
            return await self._completions.count_tokens(await self._drafts.prompt(caller, request), id)
