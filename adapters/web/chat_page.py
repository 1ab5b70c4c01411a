"""`/chat`: the page that `page/` is built into; static files, which talk to the API like any other client."""

import os
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

BUILT = Path(__file__).parent / "chat"
"""Where `setup/page.py` puts it."""
_HEADERS = {
    # What a model writes can run nothing: no script but the page's own files, and no text becomes HTML but through the
    # one policy of the library that makes it harmless.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types dompurify"
    ),
    "cache-control": "no-cache",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
NOT_BUILT = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Zephyr</title>
<link rel="stylesheet" href="/static/welcome.css">
<main>
<h1>The pages for browsers are not built</h1>
<p>Everything else works; <a href="/openapi.json">openapi.json</a> describes the API. In the checkout, <code>.venv/bin/python setup/page.py</code> builds it; that needs npm's
registry once. Then load this page again.</p>
<p><a href="/">Welcome page</a></p>
</main>
"""


def add(api: FastAPI, built: Path = BUILT) -> None:
    """Serve the page if it is built, now or later; otherwise say how to build it."""
    router = APIRouter(include_in_schema=False)

    @router.get("/chat")
    async def without_slash() -> Response:
        return RedirectResponse("chat/")

    @router.get("/chat/")
    async def page() -> Response:
        index = built / "index.html"
        if not index.is_file():
            return HTMLResponse(NOT_BUILT, 404, headers=_HEADERS)
        return FileResponse(index, media_type="text/html", headers=_HEADERS)

    api.include_router(router)
    api.mount("/chat/assets", _Assets(directory=built / "assets", check_dir=False))


class _Assets(StaticFiles):
    """Files whose names change with their content. Before they are built there are none."""

    async def check_config(self) -> None:
        """Its parent crashes where there is no folder, and asks again at the next request."""
        try:
            await super().check_config()
        except RuntimeError:
            raise HTTPException(404) from None

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: object,
        status_code: int = 200,
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)  # type: ignore[arg-type]
        response.headers["cache-control"] = "public, max-age=31536000, immutable"
        response.headers["x-content-type-options"] = "nosniff"
        return response
