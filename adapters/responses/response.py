"""The Response object, made of an exchange: of one that is recorded, or of what is known of one that is not yet.

https://platform.openai.com/docs/api-reference/responses/object
"""

from typing import Any, Literal
from uuid import UUID

import msgspec

from adapters.conversations.exchange import Exchange, Outcome, accepted_at
from adapters.responses import items
from adapters.responses.ids import response_id
from adapters.responses.items import Shown

ENDPOINT = "/v1/responses"
"""Where responses are created; of exchanges, only those are responses."""
ResponseStatus = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
_ENDED: dict[Outcome, ResponseStatus] = {
    Outcome.COMPLETED: "completed",
    Outcome.LENGTH: "incomplete",
    Outcome.FAILED: "failed",
    Outcome.CANCELLED: "failed",  # by a stop of the server; what its client cancelled says so in its error
    Outcome.CLIENT_GONE: "cancelled",
}
_AS_WRITTEN = (
    *("instructions", "max_output_tokens", "max_tool_calls", "previous_response_id", "prompt_cache_key"),
    *("prompt_cache_retention", "safety_identifier", "temperature", "top_logprobs", "top_p", "user"),
)


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a Response object says."""

    id: UUID
    status: ResponseStatus
    model: str
    input: bytes
    parameters: bytes
    metadata: bytes
    answer: bytes | None = None
    error: bytes | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    total_ms: float | None = None

    @property
    def inputs(self) -> list[items.Item]:
        """What the response was given."""
        return items.items_of(self.input)

    @property
    def shown_inputs(self) -> list[tuple[Shown, items.Item]]:
        """The same with each as it is shown."""
        return items.numbered_inputs(self.inputs, self.id.hex)

    @property
    def shown_outputs(self) -> list[tuple[Shown, items.Item]]:
        """What it has said."""
        whole: items.Status = "completed" if self.status == "completed" else "incomplete"
        said = items.said(self.answer)
        return items.numbered_outputs(said, self.id.hex, len(self.inputs), whole)

    @property
    def fields(self) -> dict[str, Any]:
        """What the request asked for."""
        found: dict[str, Any] = msgspec.json.decode(self.parameters)
        return found


def facts_of(exchange: Exchange) -> Facts:
    """What is known of a response that has ended."""
    return Facts(
        id=exchange.id,
        status=_status(exchange),
        model=exchange.model,
        input=exchange.input,
        parameters=exchange.parameters,
        metadata=exchange.metadata,
        answer=exchange.answer,
        error=exchange.error,
        prompt_tokens=exchange.prompt_tokens,
        cached_tokens=exchange.cached_tokens,
        completion_tokens=exchange.completion_tokens,
        total_ms=exchange.total_ms,
    )


def response(facts: Facts) -> Shown:
    """The Response object."""
    fields = facts.fields
    created = accepted_at(facts.id).timestamp()
    done = facts.status == "completed" and facts.total_ms is not None
    text: dict[str, Any] = fields.get("text") or {}
    return {
        "id": response_id(facts.id),
        "object": "response",
        "created_at": int(created),
        "completed_at": int(created + (facts.total_ms or 0) / 1000) if done else None,
        "status": facts.status,
        "background": bool(fields.get("background")),
        "error": _error(facts),
        "incomplete_details": {"reason": "max_output_tokens"} if facts.status == "incomplete" else None,
        "model": facts.model,
        "output": [view for view, _ in facts.shown_outputs],
        "usage": _usage(facts),
        "conversation": _conversation(fields.get("conversation")),
        "metadata": msgspec.Raw(facts.metadata),
        "parallel_tool_calls": fields.get("parallel_tool_calls", True),
        "reasoning": {"effort": None, "summary": None} | (fields.get("reasoning") or {}),
        "service_tier": "default",
        "store": fields.get("store", True),
        "text": {
            "format": text.get("format") or {"type": "text"},
            "verbosity": text.get("verbosity") or "medium",
        },
        "tool_choice": fields.get("tool_choice", "auto"),
        "tools": fields.get("tools") or [],
        "truncation": "disabled",
        **{name: fields.get(name) for name in _AS_WRITTEN},
    }


def _status(exchange: Exchange) -> ResponseStatus:
    if exchange.outcome is Outcome.CANCELLED and _code(exchange.error) == "cancelled":
        return "cancelled"
    return _ENDED[exchange.outcome]


def _error(facts: Facts) -> Shown | None:
    """OpenAI has a closed list of codes for this place: these two say whose fault it was."""
    if facts.status != "failed" or facts.error is None:
        return None
    error = msgspec.json.decode(facts.error)
    code = "invalid_prompt" if error["type"] == "invalid_request_error" else "server_error"
    return {"code": code, "message": error["message"]}


def _code(error: bytes | None) -> object:
    return msgspec.json.decode(error)["code"] if error else None


def _usage(facts: Facts) -> Shown | None:
    if facts.prompt_tokens is None:
        return None
    said = facts.completion_tokens or 0
    return {
        "input_tokens": facts.prompt_tokens,
        "input_tokens_details": {"cached_tokens": facts.cached_tokens or 0, "cache_write_tokens": 0},
        "output_tokens": said,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": facts.prompt_tokens + said,
    }


def _conversation(written: str | dict[str, str] | None) -> Shown | None:
    if written is None:
        return None
    return {"id": written if isinstance(written, str) else written["id"]}
