"""The generating endpoints in OpenAPI terms: they stand in front of the framework, which so cannot describe them."""

from typing import Any

import msgspec

from adapters.openai.door import GenerationDoor

_REF = "#/components/schemas/{name}"
_CHAT_EXAMPLE = {
    "model": "zephyr-7b-beta",
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
    "max_tokens": 32,
}
_EXAMPLES: dict[str, Any] = {
    "/v1/chat/completions": _CHAT_EXAMPLE,
    "/v1/completions": {"model": "zephyr-7b-beta", "prompt": "The capital of France is", "max_tokens": 8},
}
_SUMMARIES = {
    "/v1/chat/completions": "Answer a conversation, whole or as a stream of server-sent events",
    "/v1/completions": "Continue a text, whole or as a stream of server-sent events",
}
_EVENTS = 'data: {"id": "chatcmpl-…", "choices": […], …}\n\ndata: [DONE]\n\n'
_ERROR = {"content": {"application/json": {"schema": {"$ref": _REF.format(name="Error")}}}}
ERROR_SCHEMA = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
            "required": ["message", "type", "param", "code"],
        }
    },
    "required": ["error"],
}
_STATUSES = {
    "400": "The request is not valid; `param` names the field.",
    "404": "There is no such model.",
    "413": "The request is too large.",
    "415": "The body does not say that it is JSON.",
    "429": "More than the key or its tenant may ask for; `Retry-After` says when to try again.",
    "503": "The engine or the log is not ready, or all places are taken; `Retry-After` says when to try again.",
    "504": "The engine gave no answer in time.",
}


def document(schema: dict[str, Any], doors: list[GenerationDoor[Any]]) -> dict[str, Any]:
    """The OpenAPI document with the doors in it."""
    _, components = msgspec.json.schema_components([door.request_type for door in doors], ref_template=_REF)
    schema.setdefault("components", {}).setdefault("schemas", {}).update(components, Error=ERROR_SCHEMA)
    for door in doors:
        schema["paths"].setdefault(door.path, {})["post"] = _operation(door)
    return schema


def _operation(door: GenerationDoor[Any]) -> dict[str, Any]:
    content = {
        "schema": {"$ref": _REF.format(name=door.request_type.__name__)},
        "example": _EXAMPLES[door.path],
    }
    answer = {
        "description": "The answer, as the engine gave it; with `stream` a stream of events that ends in `[DONE]`.",
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "text/event-stream": {"example": _EVENTS},
        },
    }
    errors = {status: {"description": text, **_ERROR} for status, text in _STATUSES.items()}
    return {
        "tags": ["OpenAI"],
        "summary": _SUMMARIES[door.path],
        "operationId": door.path.strip("/").replace("/", "_"),
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {"200": answer, **errors},
    }
