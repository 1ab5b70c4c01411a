"""Everything wired together, in order. The only module that knows all the others."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from adapters import __version__
from adapters.access import routes as access_routes
from adapters.access.admission import Admission
from adapters.access.callers import NOBODY, Caller
from adapters.access.followed import Followed
from adapters.access.gate import Gate, RequestIds
from adapters.access.metrics import AdmissionMetrics, ErrorMetrics
from adapters.admin import admin_application
from adapters.completions.relay import Completions
from adapters.completions.requests import ChatRequest, CompletionRequest
from adapters.conversations import routes as log_routes
from adapters.conversations.claims import Claims
from adapters.conversations.deletion import Deletion
from adapters.conversations.errors import LogUnavailable
from adapters.conversations.feedback import FeedbackRepository
from adapters.conversations.metrics import LogMetrics
from adapters.conversations.repository import ExchangeRepository
from adapters.conversations.stored import StoredExchanges
from adapters.conversations.upkeep import LogUpkeep
from adapters.conversations.writer import ExchangeWriter
from adapters.database.session import create_engine
from adapters.engine import metrics as engine_metrics
from adapters.engine.client import EngineClient
from adapters.engine.metrics import EngineMetrics
from adapters.engine.watch import EngineState, EngineWatch
from adapters.gpu import routes as gpu_routes
from adapters.gpu.meter import EngineMeter
from adapters.gpu.metrics import GpuMetrics
from adapters.gpu.nvml import Nvml
from adapters.gpu.sampler import Sampler
from adapters.idempotency.layer import Idempotency
from adapters.keys import documentation as keys_documentation
from adapters.keys.identity import Anybody, KeyHolders
from adapters.keys.known import KnownKeys
from adapters.keys.metrics import KeyMetrics
from adapters.keys.repository import KeyRepository
from adapters.limits.figures import HEADERS as LIMIT_HEADERS
from adapters.limits.quotas import Quotas
from adapters.limits.repository import LimitRepository
from adapters.limits.status import LimitMetrics
from adapters.limits.store import Store
from adapters.observability import health, metrics
from adapters.observability.health import Part
from adapters.observability.lag import LoopLag
from adapters.openai import documentation, stored_routes
from adapters.openai import routes as openai_routes
from adapters.openai.door import GenerationDoor
from adapters.refusals import NO_TELEMETRY
from adapters.refusals import install as install_refusals
from adapters.responses import documentation as responses_documentation
from adapters.responses.api import ResponsesApi
from adapters.settings import EngineSettings, Settings
from adapters.web import chat_page
from adapters.web import routes as web_routes
from adapters.zephyr import routes as zephyr_routes
from adapters.zephyr.endpoint import load as load_endpoints
from adapters.zephyr.formatting import Formatter
from adapters.zephyr.question import Questioner

if TYPE_CHECKING:
    from adapters.observability.traces import Tracing

_OPEN = frozenset({"/", "/healthz", "/readyz", "/docs", "/openapi.json", "/chat", "/chat/"})
_OPEN_FOLDERS = ("/static/", "/chat/assets/")


class Gateway:
    """One gateway process: an ASGI application and what must be ended in order when it stops."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tracing = _tracing(settings)
        self.admission = Admission(settings.access)
        self._engine = EngineClient(settings.engine)
        self._watch = EngineWatch(self._engine, settings.engine)
        self._log = ExchangeWriter(settings.log)
        self._upkeep = LogUpkeep(settings.log)
        self._database = create_engine(settings.log)
        self._limit_store = self._counting()
        self._quotas = Quotas(self._limit_store, settings.limits)
        self._completions = Completions(
            engine=self._engine,
            watch=self._watch,
            admission=self.admission,
            log=self._log,
            quotas=self._quotas,
            max_answer_bytes=settings.engine.max_answer_bytes,
            assumed_tokens=settings.limits.limits_answer_tokens,
            tries=settings.engine.engine_tries,
        )
        self._history = ExchangeRepository(self._database, settings.log.log_page_bytes, self._log.spool)
        self._feedback = FeedbackRepository(self._history)
        self._formatter = Formatter(settings.code)
        self._measured = _clients_of(settings.engine) or [self._engine]
        self._sampler = Sampler(Nvml(), EngineMeter(self._measured, self._watch), settings.gpu)
        self._endpoints = load_endpoints(settings.zephyr)
        self._deletion = Deletion(self._history, self._log.erase)
        chat = GenerationDoor(
            "/v1/chat/completions", ChatRequest, self._completions, settings, beside=("GET",)
        )
        self._stored = StoredExchanges(self._history, chat.path)
        completions = GenerationDoor("/v1/completions", CompletionRequest, self._completions, settings)
        doors: dict[str, GenerationDoor[Any]] = {door.path: door for door in (chat, completions)}
        self._responses = ResponsesApi(
            completions=self._completions,
            watch=self._watch,
            log=self._log,
            exchanges=self._history,
            deletion=self._deletion,
            settings=settings,
        )
        self._keys = KnownKeys(settings.keys, settings.log) if settings.keys_required else None
        self._lag = LoopLag()
        self._figures = self._figure_pages()
        self._api = self._framework(list(doors.values()))
        generating = {*doors, "/v1/responses", *(endpoint.path for endpoint in self._endpoints)}
        self._idempotency = Idempotency(
            _Front(doors, self._api),
            generates=generating.__contains__,
            claims=Claims(
                self._database,
                self._log.link,
                self._log.spool,
                patience=settings.log.log_patience,
                lease=settings.idempotency.idempotency_lease,
            ),
            log=self._log,
            settings=settings,
        )
        # Errors are made inside, so that the pages which may call can read them too.
        cors = _BrowsersOnly(
            Gate(
                self._idempotency,
                settings.server,
                KeyHolders(self._keys, _without_key) if self._keys else Anybody(),
            ),
            allow_origins=settings.server.allowed_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=[
                "x-request-id",
                "retry-after",
                "idempotent-replayed",
                "server-timing",
                *LIMIT_HEADERS,
            ],
        )
        self.asgi: ASGIApp = RequestIds(Followed(cors, self._tracing))
        self.admin = admin_application(
            settings,
            KeyRepository(self._database),
            self._keys,
            self._log.status,
            self._figures,
            engine_metrics.routes(self._engine),
            access_routes.status_routes(self.admission.status),
            gpu_routes.once_routes(self._sampler),
        )

    def _figure_pages(self) -> APIRouter:
        gpus = GpuMetrics(self._sampler)
        return metrics.routes(
            gpus.look,
            self._log.figures,
            LogMetrics(self._log.status),
            LimitMetrics(self._quotas.status),
            AdmissionMetrics(self.admission),
            ErrorMetrics(),
            EngineMetrics(self._watch),
            KeyMetrics(self._keys),
            gpus,
            self._lag,
            *([] if self._tracing is None else [self._tracing.metrics]),
        )

    def _framework(self, doors: list[GenerationDoor[Any]]) -> FastAPI:
        api = FastAPI(
            title="Zephyr",
            version=__version__,
            description="zephyr-7b-beta on vLLM, behind OpenAI's API and the /zephyr endpoints, with a log.",
            lifespan=self._lifespan,
            telemetry=NO_TELEMETRY,
            redirect_slashes=False,  # an address that is not on the list leads nowhere, and names no other
            docs_url=None,  # the framework's own pages run whatever their public address gives out
            redoc_url=None,
        )
        api.include_router(openai_routes.routes(self._watch))
        api.include_router(stored_routes.routes(self._stored, self._deletion, self._settings.server))
        for router in self._responses.routers():
            api.include_router(router)
        api.include_router(log_routes.status_routes(self._log.status))
        api.include_router(log_routes.routes(self._history, self._feedback, self._deletion))
        api.include_router(
            zephyr_routes.routes(
                self._endpoints,
                completions=self._completions,
                log=self._log,
                questioner=Questioner(history=self._history, formatter=self._formatter),
                settings=self._settings,
            )
        )
        api.include_router(gpu_routes.routes(self._sampler, self._settings.server))
        api.include_router(health.routes({"engine": self._engine_part, "log": self._log_part}))
        if self._keys is None:  # who needs a key is told nothing of the others; the second listener has them
            api.include_router(self._figures)
        install_refusals(api)
        described = api.openapi

        def openapi() -> dict[str, Any]:
            document = responses_documentation.document(documentation.document(described(), doors))
            return keys_documentation.document(document) if self._keys else document

        api.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend its document
        sockets = {gpu_routes.LIVE_PATH: gpu_routes.LIVE_SUMMARY}
        api.include_router(
            web_routes.routes(describe=openapi, sockets=sockets, watch=self._watch, log=self._log_part)
        )
        api.mount("/static", StaticFiles(directory=web_routes.STATIC))
        chat_page.add(api)
        return api

    def _counting(self) -> Store:
        """Where limits are counted."""
        limits = self._settings.limits
        if limits.limits_url is None:
            return LimitRepository(self._database, lease=limits.limits_lease)
        from adapters.limits.valkey import ValkeyCounts  # noqa: PLC0415  # its client is slow to import

        return ValkeyCounts.of(limits)

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if self._tracing is not None:
                stack.push_async_callback(asyncio.to_thread, self._tracing.close)
            stack.push_async_callback(self._database.dispose)
            stack.push_async_callback(self._limit_store.close)
            self._lag.start()
            stack.push_async_callback(self._lag.close)
            self._quotas.start()
            stack.push_async_callback(self._quotas.close)
            if self._keys is not None:
                await self._keys.start()
                stack.push_async_callback(self._keys.close)
            await self._log.start()
            stack.push_async_callback(self._close_log)
            self._upkeep.start()
            stack.push_async_callback(self._upkeep.close)
            await stack.enter_async_context(self._responses.running())
            self._idempotency.start()
            stack.push_async_callback(self._idempotency.close)
            self._watch.start()
            stack.callback(self._engine.close)
            for engine in self._measured:
                stack.callback(engine.close)
            stack.push_async_callback(self._watch.close)
            stack.push_async_callback(self._formatter.close)
            stack.push_async_callback(self._sampler.close)
            yield

    async def _close_log(self) -> None:
        await self._log.drain(self._settings.log.log_commit_deadline)
        await self._log.close()

    async def end_streams(self) -> None:
        """End what would otherwise go on for ever, in order, while everything it needs still works."""
        self._sampler.close_watching()
        await self.admission.drain(self._settings.server.drain_seconds)

    def _engine_part(self) -> Part:
        state = self._watch.state
        return Part(
            ready=state.ready and self._watch.alive,
            problem=state.told,
            seconds=round(time.monotonic() - state.since, 1),
            detail=_detail(state),
        )

    def _log_part(self) -> Part:
        link, status = self._log.link, self._log.status()
        problems = [] if link.up else [f"The database is away ({link.last_error or 'silent'})."]
        if status.spool_problem:
            problems.append(f"The spool cannot be used ({status.spool_problem}).")
        try:
            self._log.require_ready()
        except LogUnavailable:
            ready = False
        else:
            ready = True
        away = link.away_since
        return Part(
            ready=ready,
            problem=" ".join(problems) or None,
            seconds=(datetime.now(UTC) - away).total_seconds() if away else 0.0,
        )


def _clients_of(settings: EngineSettings) -> list[EngineClient]:
    """Clients of the engines behind a router, as far as their addresses are known."""
    urls = settings.engine_metrics_urls
    return [EngineClient(settings.model_copy(update={"engine_url": url})) for url in urls]


def _detail(state: EngineState) -> dict[str, Any]:
    """What else is known of the engine: what it serves and, behind a router, how many of the engines are there."""
    replicas = {} if state.replicas is None else {"replicas": asdict(state.replicas)}
    return {"models": [model.id for model in state.models], **replicas}


def _tracing(settings: Settings) -> "Tracing | None":
    if settings.traces.traces_endpoint is None:
        return None
    from adapters.observability.traces import Tracing  # noqa: PLC0415  # OpenTelemetry is slow to import

    return Tracing(settings.traces, __version__)


def _without_key(path: str) -> Caller | None:
    """Whether a gateway that needs keys lets anybody call this: what tells how to call it, and that it is there."""
    return NOBODY if path in _OPEN or path.startswith(_OPEN_FOLDERS) else None


class _BrowsersOnly(CORSMiddleware):
    """What browsers need to be told. Programs name no origin, and it would cost them a tenth of a request."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # An answer to POST is never cached, so that it need not say for whom it is.
        program = scope["type"] == "http" and scope["method"] == "POST" and not _names_origin(scope)
        await (self.app if program else super().__call__)(scope, receive, send)


def _names_origin(scope: Scope) -> bool:
    return any(name == b"origin" for name, _ in scope["headers"])


class _Front:
    """Takes the endpoints that are on the path of every token out, in front of the framework."""

    def __init__(self, doors: dict[str, GenerationDoor[Any]], rest: ASGIApp) -> None:
        self._doors = doors
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        door = self._doors.get(scope["path"]) if scope["type"] == "http" else None
        if door is not None and scope["method"] in door.beside:
            door = None
        if door is not None:
            scope["zephyr.endpoint"] = door.path
        await (door or self._rest)(scope, receive, send)
