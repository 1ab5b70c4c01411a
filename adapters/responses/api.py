"""Responses and conversations as one part of the gateway: what they are made of, their routes, their beginning and end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter

from adapters.completions.relay import Completions
from adapters.completions.run import ExchangeLog
from adapters.conversations.deletion import Deletion
from adapters.conversations.repository import ExchangeRepository
from adapters.conversations.whole import WholeConversations
from adapters.engine.watch import EngineWatch
from adapters.responses import conversation_routes, routes
from adapters.responses.answering import Answering
from adapters.responses.background import Background, Following
from adapters.responses.conversation_list import ConversationList
from adapters.responses.conversation_repository import ConversationRepository
from adapters.responses.conversations import Conversations
from adapters.responses.drafts import Drafts
from adapters.responses.history import History
from adapters.responses.holds import Holds
from adapters.responses.repository import ResponseRepository
from adapters.responses.service import Responses
from adapters.settings import Settings


class ResponsesApi:
    """`/v1/responses` and `/v1/conversations` over one path of generation and one log."""

    def __init__(
        self,
        *,
        completions: Completions,
        watch: EngineWatch,
        log: ExchangeLog,
        exchanges: ExchangeRepository,
        deletion: Deletion,
        settings: Settings,
    ) -> None:
        self._settings = settings
        self._list = ConversationList(exchanges)
        self._whole = WholeConversations(exchanges, deletion)
        repository = ResponseRepository(exchanges)
        conversations = ConversationRepository(exchanges, settings.log.log_page_bytes)
        history = History(exchanges, conversations, repository)
        self._holds = Holds(repository, conversations, settings.responses.response_lease)
        self._answering = Answering(completions, log, self._holds)
        self._background = Background(
            self._answering, repository, settings.responses.max_background_responses
        )
        self._responses = Responses(
            drafts=Drafts(history=history, holds=self._holds, watch=watch, settings=settings.request),
            answering=self._answering,
            background=self._background,
            following=Following(exchanges, repository),
            completions=completions,
            log=exchanges,
            deletion=deletion,
            repository=repository,
        )
        self._conversations = Conversations(
            repository=conversations,
            holds=self._holds,
            history=history,
            page_bytes=settings.log.log_page_bytes,
        )

    def routers(self) -> list[APIRouter]:
        """All routes."""
        server = self._settings.server
        return [
            routes.routes(self._responses, server),
            conversation_routes.list_routes(self._list),
            conversation_routes.routes(self._conversations, server),
            conversation_routes.whole_routes(self._whole, self._conversations),
        ]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While it runs; what is in the background ends with it."""
        self._holds.start()
        try:
            yield
        finally:
            await self._background.end()
            await self._answering.end()
            await self._holds.end()
