"""`/docs`: the API, to be read and tried in a browser.

Swagger UI is fetched by the browser from its public address. It runs in the gateway's own origin, where it could do
whatever the reader may: so its very bytes are named (https://www.w3.org/TR/SRI/), and the page may call nobody else.
"""

from fastapi import APIRouter, Response
from jinja2 import Environment

_FROM = "https://cdn.jsdelivr.net/npm/swagger-ui-dist@5.35.0"
_SCRIPT = "sha384-gjRm0bEPMeTmMh5jT2cHccIwCUZSTd8YC+j0d0sXw0MdGEfScduGpSyF3ZSSLkX9"
_STYLE = "sha384-WlYgdmXYOOBWL5apwjDEZwN+U3HmXSSu5R6V5aGxEcf7z+KuRNwBhoxKVN1i3D5I"
_HEADERS = {
    "content-security-policy": (
        f"default-src 'none'; script-src 'self' {_FROM}/; style-src 'self' 'unsafe-inline' {_FROM}/; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def routes(templates: Environment) -> APIRouter:
    """The route."""
    page = templates.get_template("docs.html")
    html = page.render(title="Zephyr", address=_FROM, script=_SCRIPT, style=_STYLE)
    router = APIRouter()

    @router.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return Response(html, media_type="text/html", headers=_HEADERS)

    return router
