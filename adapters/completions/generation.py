"""What a door asks of the one path of generation, and what comes of it."""

from uuid import UUID

import msgspec

from adapters.access.callers import Caller
from adapters.completions.events import Usage
from adapters.completions.requests import Request
from adapters.completions.threads import Followed


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """One generation to be made."""

    id: UUID
    caller: Caller
    door: str
    endpoint: str
    """The path that the client called."""
    path: str
    """The engine's path."""
    request: Request
    may_hold_markers: bool = True
    """False spares a search for markers where the door has already looked."""
    input: bytes
    """JSON: the new messages, or the prompt, as the client wrote them."""
    parameters: bytes
    """JSON object: what else the client asked for."""
    metadata: bytes = b"{}"
    """JSON object: the client's own."""
    conversation_id: UUID | None = None
    """None begins a conversation, unless the request goes on from a transcript that is known."""
    parent_id: UUID | None = None
    earlier: bytes | None = None
    """JSON array: the messages before `input` that the client repeated."""
    followed: Followed | None = None
    """Of chats: what the request says and goes on from."""


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer, recorded."""

    id: UUID
    conversation_id: UUID
    body: bytes
    """The engine's own JSON."""
    text: str
    finish_reason: str | None
    usage: Usage | None
    model: str
    prompt_text: str | None
    """The prompt as the model saw it, where it was asked for."""
