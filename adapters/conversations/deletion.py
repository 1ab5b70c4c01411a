"""Deleting what was said in an exchange, so that it does not come back."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import cast
from uuid import UUID

from sqlalchemy import Table, delete, exists, func, update

from adapters.conversations.exchange import DELETED, Exchange, deleted, line_of
from adapters.conversations.models import (
    ConversationTitleRow,
    ExchangeRow,
    FeedbackRow,
    IdempotentAnswerRow,
)
from adapters.conversations.repository import (
    ExchangeRepository,
    exchange_of,
    insert_statement,
    not_before,
    row,
)

_exchanges = cast(Table, ExchangeRow.__table__)
_answers = cast(Table, IdempotentAnswerRow.__table__)
_feedback = cast(Table, FeedbackRow.__table__)
_titles = cast(Table, ConversationTitleRow.__table__)
_EVENTS = "DELETE FROM response_events WHERE response_id = $1 AND caller = $2"
"""Of a response that was streamed in the background. The table is that of a package above this one."""


class Deletion:
    """Deletes from PostgreSQL and from the spool; `erase` is the writer's."""

    def __init__(self, log: ExchangeRepository, erase: Callable[[UUID], Awaitable[None]]) -> None:
        self._log = log
        self._erase = erase
        self._insert = insert_statement()

    async def delete(self, exchange: Exchange) -> Exchange:
        """Delete an exchange that was read from the log; what is left of it. Deleting again changes nothing.

        Its row stays, so that no replay of a spool can write the texts again; what is still only in the spool gets a
        row for that.

        Raises:
            LogUnavailable: it is not deleted, or not from the spool; try again shortly.
        """
        left = deleted(exchange, datetime.now(UTC))
        await self._log.rows(self._insert, row(left))  # does nothing where there is a row
        statement = (
            update(_exchanges)
            .where(_exchanges.c.caller == exchange.caller, _exchanges.c.id == exchange.id)
            .values(
                DELETED
                | {
                    "metadata_pairs": None,
                    "words": None,
                    "deleted_at": func.coalesce(_exchanges.c.deleted_at, left.deleted_at),
                }
            )
            .returning(_exchanges)
        )
        (found,) = await self._log.rows(statement)
        made = [exchange.id, *([whole] if (whole := line_of(exchange)) else [])]
        kept = (_answers.c.caller == exchange.caller, _answers.c.exchange_id.in_(made))
        await self._log.rows(delete(IdempotentAnswerRow).where(*kept))
        mine = (_feedback.c.caller == exchange.caller, _feedback.c.exchange_id == exchange.id)
        await self._log.rows(delete(_feedback).where(*mine))
        await self._log.rows(_EVENTS, (exchange.id, exchange.caller))
        await self._forget_title(exchange.caller, found["conversation_id"])
        await self._erase(exchange.id)
        return exchange_of(found)

    async def _forget_title(self, caller: str, conversation: UUID) -> None:
        """A title tells what was said: it goes with the last exchange, since nothing else lists it then."""
        said = exists().where(
            _exchanges.c.caller == caller,
            _exchanges.c.conversation_id == conversation,
            _exchanges.c.deleted_at.is_(None),
            not_before(conversation),
        )
        mine = (_titles.c.caller == caller, _titles.c.conversation_id == conversation)
        await self._log.rows(delete(_titles).where(*mine, ~said))
