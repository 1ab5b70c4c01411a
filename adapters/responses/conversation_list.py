"""A caller's conversations, listed: those of the Conversations API, and the threads of all other requests."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import RowMapping

from adapters.conversations.repository import ExchangeRepository
from adapters.conversations.said import first_words

_VALUES = ("id", "created_at", "updated_at", "exchanges", "last_exchange_id", "metadata")
_HIGHEST = UUID(int=2**128 - 1)
_MOST_READ_BYTES = 64 * 1024  # an input that is longer than this is not read for its first words
_PAGE = f"""
    SELECT newest.conversation_id AS id, newest.id AS last_exchange_id, newest.started_at AS updated_at,
        first.started_at AS created_at, first.input, counted.exchanges, own.metadata, named.title
    FROM (
        SELECT id, conversation_id, started_at FROM exchanges AS one
        WHERE caller = $1 AND id < $2 AND deleted_at IS NULL AND id = (
            SELECT id FROM exchanges AS later
            WHERE later.conversation_id = one.conversation_id AND later.caller = $1 AND later.deleted_at IS NULL
            ORDER BY later.id DESC LIMIT 1)
        ORDER BY id DESC LIMIT $3
    ) AS newest
    CROSS JOIN LATERAL (
        SELECT started_at, CASE WHEN octet_length(input::text) <= {_MOST_READ_BYTES} THEN input::text END AS input
        FROM exchanges WHERE conversation_id = newest.conversation_id AND caller = $1 AND deleted_at IS NULL
        ORDER BY exchanges.id LIMIT 1
    ) AS first
    CROSS JOIN LATERAL (
        SELECT count(*) AS exchanges FROM exchanges
        WHERE conversation_id = newest.conversation_id AND caller = $1 AND deleted_at IS NULL
    ) AS counted
    LEFT JOIN conversations AS own ON own.id = newest.conversation_id AND own.caller = $1
    LEFT JOIN conversation_titles AS named ON named.conversation_id = newest.conversation_id AND named.caller = $1
    ORDER BY newest.id DESC"""  # noqa: S608  # a number of ours
"""What was deleted is not there. The newest exchange of each conversation stands for it: then the newest ones are found from the newest exchange on,
and nothing is read of conversations that were on an earlier page, or come on a later one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """One conversation in a list."""

    id: UUID
    title: str | None
    """What its caller calls it, or the first words of the first message of the user; None where there are none, or the
    message is very long."""
    created_at: datetime
    updated_at: datetime
    """When the newest exchange was accepted."""
    exchanges: int
    last_exchange_id: UUID
    metadata: bytes | None
    """JSON object; None where it was not begun by the Conversations API."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedPage:
    """Conversations, the one with the newest exchange first, and whether there are more."""

    conversations: Sequence[Listed]
    has_more: bool


class ConversationList:
    """Reads lists of conversations. Every method raises LogUnavailable where the database is away."""

    def __init__(self, exchanges: ExchangeRepository) -> None:
        self._exchanges = exchanges

    async def page(self, caller: str, *, limit: int, after: UUID | None = None) -> ListedPage:
        """Up to `limit` conversations whose newest exchange is older than the exchange `after`."""
        found = await self._exchanges.rows(_PAGE, (caller, after or _HIGHEST, limit + 1))
        return ListedPage(conversations=[_listed(row) for row in found[:limit]], has_more=len(found) > limit)


def _listed(row: RowMapping) -> Listed:
    values = {name: row[name] for name in _VALUES}
    return Listed(title=row["title"] or (first_words(row["input"]) if row["input"] else None), **values)
