"""The exchange: one request and what came of it. The unit of the conversation log."""

from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

import msgspec


class Outcome(StrEnum):
    """How an exchange ended, never dressed up as something better."""

    COMPLETED = "completed"
    """The model finished by itself, or at a stop string."""
    LENGTH = "length"
    """The model was cut off by a limit on tokens."""
    FAILED = "failed"
    """The engine refused, broke or fell silent."""
    CANCELLED = "cancelled"
    """The server ended it: it was shutting down, or its client had asked for that."""
    CLIENT_GONE = "client_gone"
    """The client went away before the end."""


ANSWERED = (Outcome.COMPLETED, Outcome.LENGTH)
"""How an answer ends that is whole."""


class Exchange(msgspec.Struct, frozen=True, kw_only=True, tag="exchange", tag_field="record"):
    """One request and what came of it.

    A struct, because a frozen dataclass of so many fields takes ten times as long to make, and one is made for every
    request. Texts are kept as the JSON they came in, so that what was said is stored word for word; PostgreSQL's `json`
    type holds any JSON text, `\\u0000` included.
    """

    id: UUID
    """A UUIDv7 made by the gateway: ordered by time, and part of the id that the client sees."""
    conversation_id: UUID
    parent_id: UUID | None = None
    """The exchange that this one continues."""
    caller: str
    door: str
    """`openai` or `zephyr`."""
    endpoint: str
    """The path that was called, such as `/v1/chat/completions`."""
    model: str
    """The engine's own name for what answered."""
    fingerprint: str | None = None
    """The engine's `system_fingerprint`: model, revision and build."""
    input: bytes
    """JSON: the messages, or the prompt, as the client wrote them; only what is new to the conversation."""
    parameters: bytes
    """JSON object: what else the request asked for."""
    answer: bytes | None = None
    """JSON array with a message for each choice, as far as it came: `index role content tool_calls finish_reason`."""
    finish_reason: str | None = None
    """The engine's finish reason of the first choice."""
    outcome: Outcome
    error: bytes | None = None
    """JSON object `message type param code`, when there was one."""
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    started_at: datetime
    """When the request was accepted, with time zone."""
    first_token_ms: float | None = None
    """Milliseconds from acceptance to the first piece of a streamed answer."""
    total_ms: float
    """Milliseconds from acceptance to the end."""
    metadata: bytes = b"{}"
    """JSON object: the client's own `metadata`."""
    transcript_hash: UUID | None = None
    """Names everything that was said up to and including the answer (`adapters.completions.threads`)."""
    stored: bool = False
    """Whether the client asked for it to be kept for OpenAI's stateful API (`store`)."""
    deleted_at: datetime | None = None
    """When its caller deleted what was said in it; None where that is still there."""

    # Not columns: they are used up when the exchange is written.
    follows: UUID | None = None
    """The transcript that this exchange goes on from, where its parent is to be found by that."""
    earlier: bytes | None = None
    """JSON array: what the client repeated from before `input`; written in front of it where no parent is found."""


LINE_OF = "line_of"
"""The parameter that names the request of which this exchange was one of many lines."""


class _Parameters(msgspec.Struct):
    line_of: UUID | None = None


def line_of(exchange: Exchange) -> UUID | None:
    """The request of many lines that this exchange belongs to, if it was one of those."""
    if exchange.door != "zephyr" or LINE_OF.encode() not in exchange.parameters:
        return None
    return msgspec.json.decode(exchange.parameters, type=_Parameters).line_of


DELETED: dict[str, object] = {
    "fingerprint": None,
    "finish_reason": None,
    "error": None,
    "metadata": b"{}",
    "parameters": b"{}",
    "input": b"null",
    "answer": None,
    "transcript_hash": None,
    "stored": False,
}
"""What a deleted exchange has instead of what was said. Who asked which model when, and what that took, remains."""


def deleted(exchange: Exchange, at: datetime) -> Exchange:
    """The same exchange without what was said in it."""
    return msgspec.structs.replace(exchange, **DELETED, earlier=None, deleted_at=exchange.deleted_at or at)


def accepted_at(id: UUID) -> datetime:
    """When an exchange was accepted, as its id tells it (UUIDv7: milliseconds in the first 48 bits)."""
    return datetime.fromtimestamp((id.int >> 80) / 1000, UTC)
