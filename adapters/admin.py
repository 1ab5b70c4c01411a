"""The second listener: keys and figures, for whoever runs the gateway and for nobody else."""

from collections.abc import Callable

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp

from adapters.access.callers import Caller, KeyScope
from adapters.access.followed import Followed
from adapters.access.gate import Gate, RequestIds
from adapters.conversations import routes as log_routes
from adapters.conversations.status import LogStatus
from adapters.keys import admin
from adapters.keys.identity import Anybody, KeyHolders
from adapters.keys.known import KnownKeys
from adapters.keys.repository import KeyRepository
from adapters.refusals import NO_TELEMETRY
from adapters.refusals import install as install_refusals
from adapters.settings import Settings

_FIGURES = ("/metrics", "/engine/metrics", "/log/status", "/queue/status", "/zephyr/gpu-stats")
_READER = Caller(tenant="", scopes=frozenset({KeyScope.READ_ALL}))


def admin_application(
    settings: Settings,
    repository: KeyRepository,
    keys: KnownKeys | None,
    status: Callable[[], LogStatus],
    *figures: APIRouter,
) -> ASGIApp:
    """The application, with pages of figures. Those need no key there; keys need one with the scope `admin`, where any are needed."""
    server = settings.admin_server
    api = FastAPI(
        title="Zephyr admin",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        telemetry=NO_TELEMETRY,
        redirect_slashes=False,
    )
    api.include_router(admin.routes(repository, server))
    for pages in (log_routes.status_routes(status), *figures):
        api.include_router(pages)
    install_refusals(api)
    callers = KeyHolders(keys, _without_key) if keys else Anybody()
    return RequestIds(Followed(Gate(api, server, callers)))


def _without_key(path: str) -> Caller | None:
    return _READER if path in _FIGURES else None
