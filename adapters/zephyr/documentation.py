"""An endpoint in OpenAPI terms, made from its file."""

import json
from typing import Any

from adapters.zephyr.endpoint import Endpoint
from adapters.zephyr.requests import Asked

_ERROR = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
_STATUSES = {
    400: "The request is not valid; `param` names the field.",
    403: "A page of another origin sent this.",
    404: "There is no such conversation.",
    413: "The request is too large.",
    415: "The body says that it is something else than JSON.",
    429: "More than the key or its tenant may ask for; `Retry-After` says when to try again.",
    503: "The engine or the log is not ready, or all places are taken; `Retry-After` says when to try again.",
    504: "The engine gave no answer in time.",
}
_EVENTS = {
    "example": 'data: {"delta": "Hello"}\n\ndata: {"response": "Hello", "id": "…"}\n\ndata: [DONE]\n\n',
}
_LINES = {"schema": {"type": "string"}, "example": '{"index": 0, "response": "Hello", "id": "…"}\n'}


def operation(endpoint: Endpoint, model: type[Asked]) -> dict[str, Any]:
    """What a route's registration says about it."""
    return {
        "summary": endpoint.summary,
        "description": endpoint.description.strip(),
        "operation_id": endpoint.path.strip("/").replace("/", "_").replace("-", "_"),
        "response_description": "The answer; with `stream` as server-sent events, for many lines one line each.",
        "responses": {
            200: {"content": {"text/event-stream": _EVENTS, "application/x-ndjson": _LINES}},
            **{status: {"description": text, **_ERROR} for status, text in _STATUSES.items()},
        },
        "openapi_extra": _request(endpoint, model),
    }


def _request(endpoint: Endpoint, model: type[Asked]) -> dict[str, Any]:
    in_query = [name for name, field in endpoint.fields.items() if field.in_query]
    line = json.dumps(endpoint.example) + "\n"
    body = {
        "required": not in_query,
        "content": {
            "application/json": {"schema": _schema(endpoint, model), "example": endpoint.example},
            "application/x-ndjson": {"schema": {"type": "string"}, "example": line},
        },
    }
    parameters = [
        {
            "name": name,
            "in": "query",
            "required": False,
            "schema": {"type": endpoint.fields[name].type},
            "description": endpoint.fields[name].description,
        }
        for name in in_query
    ]
    return {"requestBody": body, **({"parameters": parameters} if parameters else {})}


def _schema(endpoint: Endpoint, model: type[Asked]) -> dict[str, Any]:
    """The request's schema, with the endpoint's own fields first."""
    schema = model.model_json_schema()
    own = {name: schema["properties"][name] for name in endpoint.fields}
    return schema | {"properties": own | schema["properties"]}
