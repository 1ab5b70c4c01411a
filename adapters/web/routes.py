"""The pages: at `/` a welcome, for people and for programs; at `/docs` the API."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from adapters.engine.watch import EngineWatch
from adapters.observability.health import Part
from adapters.web import docs
from adapters.web.welcome import Welcome, groups, needs_keys, spans, welcome

_FOLDER = Path(__file__).parent
STATIC = _FOLDER / "static"
"""What `/static` serves."""
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "vary": "Accept",
    "x-content-type-options": "nosniff",
}


def routes(
    *,
    describe: Callable[[], dict[str, Any]],
    sockets: dict[str, str],
    watch: EngineWatch,
    log: Callable[[], Part],
) -> APIRouter:
    """The routes. `describe` gives the API's OpenAPI document, `log` says whether the log takes what is said."""
    templates = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["spans"] = spans
    page = templates.get_template("welcome.html")
    router = APIRouter(tags=["Operation"])
    router.include_router(docs.routes())

    @router.get(
        "/", summary="This page", response_model=Welcome, responses={200: {"content": {"text/html": {}}}}
    )
    async def root(request: Request) -> Response:
        """The endpoints and what is served: a page for a browser, JSON for a program."""
        description = describe()
        content = welcome(description, sockets, watch.state, log(), str(request.base_url))
        if "text/html" not in request.headers.get("accept", ""):
            return Response(content.model_dump_json(), media_type="application/json", headers=_HEADERS)
        html = page.render(
            page=content,
            groups=groups(content.endpoints),
            base=str(request.base_url).rstrip("/"),
            keys=needs_keys(description),
        )
        return Response(html, media_type="text/html", headers=_HEADERS)

    return router
