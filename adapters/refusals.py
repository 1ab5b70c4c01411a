"""What the framework itself refuses, in the shape of OpenAI's API; and that it keeps quiet about requests."""

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException

from adapters.errors import GatewayError, InvalidRequest, NotFound

NO_TELEMETRY = TelemetryConfig(
    tracing=False, metrics=False, logs=False, operation_spans=False, auto_configure=False
)
"""The framework's own spans and logs hold query strings, so what was searched for, and the texts of exceptions."""


def install(api: FastAPI) -> None:
    """Have the framework answer every error in that shape."""
    api.add_exception_handler(GatewayError, _refused)
    api.add_exception_handler(HTTPException, _http)
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(Exception, _crashed)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)
    headers = {name.decode(): value.decode() for name, value in error.headers()}
    return Response(error.body(), error.status, headers, "application/json")


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    refusal: GatewayError = InvalidRequest(str(error.detail))
    if error.status_code == 404:
        refusal = NotFound(code="unknown_url")
    elif error.status_code == 405:
        refusal.code = "method_not_allowed"
    refusal.status = error.status_code
    response = await _refused(request, refusal)
    response.headers.update(error.headers or {})
    return response


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    # The first part of the location says where the field stood: path, query or body.
    field = ".".join(str(part) for part in first["loc"][1:]) or None
    return await _refused(request, InvalidRequest(f"{first['msg']}.", param=field, code="invalid_value"))


async def _crashed(request: Request, _: Exception) -> Response:
    # It is raised further after this answer, and logged where all crashes are.
    return await _refused(request, GatewayError("Something went wrong in the gateway."))
