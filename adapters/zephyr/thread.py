"""A conversation that is continued: what was said before, read from the log."""

import json
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from adapters.completions.requests import Message
from adapters.conversations.exchange import Exchange
from adapters.conversations.repository import Conversation


@dataclass(frozen=True, kw_only=True)
class Thread:
    """The answered exchanges of one conversation, as messages."""

    conversation_id: UUID
    last_id: UUID | None
    endpoint: str | None
    """The endpoint of the last exchange."""
    system: str | None
    """The last system message."""
    turns: tuple[Message, ...]
    """What user and assistant said, in order."""


def thread_of(conversation: Conversation) -> Thread:
    """A conversation as the model is to see it."""
    last = conversation.exchanges[-1] if conversation.exchanges else None
    spoken = [message for exchange in conversation.exchanges for message in _messages(exchange)]
    systems = [text for role, text in spoken if role == "system"]
    return Thread(
        conversation_id=conversation.id,
        last_id=last.id if last else None,
        endpoint=last.endpoint if last else None,
        system=systems[-1] if systems else None,
        turns=tuple(Message(role=role, content=text) for role, text in spoken if role != "system"),
    )


Spoken = tuple[Literal["system", "user", "assistant"], str]


def _messages(exchange: Exchange) -> list[Spoken]:
    answer = _answer(exchange)
    return [*_input(exchange), ("assistant", answer)] if answer else []


def _input(exchange: Exchange) -> list[Spoken]:
    said = json.loads(exchange.input, parse_int=str)  # of any length: only texts matter here
    if not isinstance(said, list) or any(isinstance(part, str) for part in said):
        said = [{"role": "user", "content": said}]  # a prompt of /v1/completions
    return [spoken for message in said if (spoken := _spoken(message)) is not None]


def _spoken(message: dict[str, Any]) -> Spoken | None:
    text = _text(message.get("content"))
    match message.get("role"):
        case "system" | "developer":
            return "system", text
        case "user":
            return "user", text
        case "assistant" if text:
            return "assistant", text
        case _:
            return None  # calls of tools, and their results, mean nothing here


def _answer(exchange: Exchange) -> str:
    choices = json.loads(exchange.answer) if exchange.answer else []
    return _text(choices[0].get("content")) if choices else ""


def _text(content: object) -> str:
    """A message's content, which may come as a list of parts."""
    if isinstance(content, list):
        return "".join(part if isinstance(part, str) else str(part.get("text") or "") for part in content)
    return content if isinstance(content, str) else ""
