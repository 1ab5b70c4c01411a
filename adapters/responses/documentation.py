"""The bodies of these endpoints in OpenAPI terms: the framework never sees their types."""

from typing import Any

import msgspec

from adapters.responses.conversations import ConversationRequest, ItemsRequest, MetadataRequest
from adapters.responses.requests import PromptRequest, ResponseRequest

_REF = "#/components/schemas/{name}"
_BODIES = (ResponseRequest, PromptRequest, ConversationRequest, MetadataRequest, ItemsRequest)
_ERROR = {"application/json": {"schema": {"$ref": _REF.format(name="Error")}}}
_MESSAGE = {"type": "message", "role": "user", "content": "What is a list comprehension?"}
_EXAMPLES: dict[type, Any] = {
    ResponseRequest: {"model": "zephyr-7b-beta", "input": "What is a list comprehension?"},
    PromptRequest: {"model": "zephyr-7b-beta", "input": "What is a list comprehension?"},
    ConversationRequest: {"items": [_MESSAGE], "metadata": {"ticket": "17"}},
    MetadataRequest: {"metadata": {"ticket": "18"}},
    ItemsRequest: {"items": [_MESSAGE]},
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "description": "There is no such thing, `param` names what is not valid, or something else is going on here.",
        "content": _ERROR,
    },
    "5XX": {
        "description": "The engine or the log is not ready, or all places are taken, or the engine gave no answer.",
        "content": _ERROR,
    },
}
_OBJECT = {"application/json": {"schema": {"type": "object"}}}
ANSWER: dict[int | str, dict[str, Any]] = {200: {"content": _OBJECT}}
ANSWER_OR_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The object, or with `stream` its events.",
        "content": {
            **_OBJECT,
            "text/event-stream": {
                "example": 'event: response.created\ndata: {"type": "response.created", "sequence_number": 0, …}\n\n'
            },
        },
    }
}


def body(type: type[msgspec.Struct], *, required: bool = True) -> dict[str, Any]:
    """What a route's registration says about its body."""
    content = {"schema": {"$ref": _REF.format(name=type.__name__)}, "example": _EXAMPLES[type]}
    return {"requestBody": {"required": required, "content": {"application/json": content}}}


def document(schema: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI document with the bodies' types in it."""
    _, components = msgspec.json.schema_components(_BODIES, ref_template=_REF)
    schema.setdefault("components", {}).setdefault("schemas", {}).update(components)
    return schema
