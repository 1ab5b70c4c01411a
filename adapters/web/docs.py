"""`/docs`: the API, to be read and tried in a browser, by Swagger UI as `page/` brings it."""

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse, Response

from adapters.web.chat_page import BUILT, NOT_BUILT

_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cache-control": "no-cache",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def routes() -> APIRouter:
    """The route."""
    router = APIRouter()

    @router.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        page = BUILT / "docs.html"
        if not page.is_file():
            return HTMLResponse(NOT_BUILT, 404, headers=_HEADERS)
        return FileResponse(page, media_type="text/html", headers=_HEADERS)

    return router
