"""Exchanges to write into a log."""

from datetime import UTC, datetime
from typing import Any

from uuid_utils.compat import uuid7

from adapters.conversations.exchange import Exchange, Outcome


def an_exchange(**changes: Any) -> Exchange:
    """An exchange like any other, but for the changes."""
    id = changes.get("id") or uuid7()
    values: dict[str, Any] = {
        "id": id,
        "conversation_id": id,
        "caller": "local",
        "door": "openai",
        "endpoint": "/v1/chat/completions",
        "model": "a-model",
        "input": b'[{"role": "user", "content": "Hello"}]',
        "parameters": b'{"temperature": 0.7}',
        "answer": b'[{"index": 0, "role": "assistant", "content": "Hi", "finish_reason": "stop"}]',
        "finish_reason": "stop",
        "outcome": Outcome.COMPLETED,
        "prompt_tokens": 9,
        "completion_tokens": 2,
        "started_at": datetime.now(UTC),
        "first_token_ms": 12.5,
        "total_ms": 40.25,
    }
    return Exchange(**values | changes)
