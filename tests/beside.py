"""A row in every table that stands beside the exchanges."""

from uuid import UUID

from adapters.conversations.exchange import Exchange
from tests.databases import fetch

BESIDE = {
    "feedback": "exchange_id, caller, given_at, rating) VALUES ($1, $2, now(), 1",
    "idempotent_answers": "fingerprint, exchange_id, holder, expires_at, caller, key) VALUES ($1, $1, $1, now(), $2, CAST(CAST($1 AS uuid) AS text)",
    "conversation_titles": "conversation_id, caller, title) VALUES ($1, $2, 'Named'",
    "conversations": "id, created_at, caller, metadata) VALUES ($1, now(), $2, '{}'",
    "conversation_items": "id, conversation_id, item) SELECT $1, $1, '{}' WHERE ($2 <> ''",
    "open_responses": "id, lease_until, background, caller, model, metadata, parameters, input)"
    " VALUES ($1, now(), true, $2, 'm', '{}', '{}', '[]'",
    "response_events": "response_id, first, last, caller, events) VALUES ($1, 0, 1, $2, '[]'",
}
"""Table, and the rest of an INSERT for an id and a caller."""


async def add_beside(url: str, exchange: Exchange, id: UUID | None = None) -> None:
    """Add what stands beside an exchange, as old as it is."""
    for table, rest in BESIDE.items():
        await fetch(url, f"INSERT INTO {table} ({rest})", id or exchange.id, exchange.caller)
