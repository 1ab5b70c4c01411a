"""A server that has the routes of the log, and nothing else."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
import uvicorn
from fastapi import FastAPI
from yarl import URL

from adapters.access.gate import Gate, RequestIds
from adapters.conversations.deletion import Deletion
from adapters.conversations.feedback import FeedbackRepository
from adapters.conversations.repository import ExchangeRepository
from adapters.conversations.routes import routes, status_routes
from adapters.conversations.writer import ExchangeWriter
from adapters.keys.identity import Anybody
from adapters.refusals import install
from adapters.responses.conversation_list import ConversationList
from adapters.responses.conversation_routes import list_routes
from adapters.settings import Settings
from tests.databases import log_settings


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.content)


class Ask(Protocol):
    """Asks the server: GET, or POST with a body."""

    def __call__(self, path: str, body: object = None) -> Awaitable[Answer]: ...


@asynccontextmanager
async def served(repository: ExchangeRepository) -> AsyncIterator[Ask]:
    """The server over this log."""
    api = FastAPI()
    writer = ExchangeWriter(log_settings("postgresql://nobody@/nothing"))
    deletion = Deletion(repository, writer.erase)
    api.include_router(routes(repository, FeedbackRepository(repository), deletion))
    api.include_router(status_routes(writer.status))
    api.include_router(list_routes(ConversationList(repository)))
    install(api)
    listener = socket.create_server(("127.0.0.1", 0))
    gate = RequestIds(Gate(api, Settings.read().server, Anybody()))
    server = uvicorn.Server(uvicorn.Config(gate, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve([listener]))
    async with aiohttp.ClientSession() as session:

        async def ask(path: str, body: object = None) -> Answer:
            url = URL(f"http://127.0.0.1:{listener.getsockname()[1]}{path}", encoded=True)
            method = "GET" if body is None else "POST"
            async with session.request(method, url, json=body) as response:
                return Answer(status=response.status, headers=response.headers, content=await response.read())

        yield ask
    server.should_exit = True
    await serving
