"""Conversations as a whole: giving one a title, and deleting all that was said in it."""

from typing import cast
from uuid import UUID

from sqlalchemy import ColumnElement, Table, delete, literal, select
from sqlalchemy.dialects.postgresql import insert

from adapters.conversations.deletion import Deletion
from adapters.conversations.errors import ExchangeNotFound
from adapters.conversations.models import ConversationTitleRow, ExchangeRow
from adapters.conversations.repository import ExchangeRepository, not_before

DELETED_AT_ONCE = 50
"""Exchanges that one request deletes: each takes some statements of its own."""
_exchanges = ExchangeRow.__table__
_titles = cast(Table, ConversationTitleRow.__table__)


class WholeConversations:
    """Changes conversations. Every method raises LogUnavailable where the database is away."""

    def __init__(self, exchanges: ExchangeRepository, deletion: Deletion) -> None:
        self._exchanges = exchanges
        self._deletion = deletion

    async def name(self, caller: str, id: UUID, title: str | None) -> None:
        """Give a conversation a title; None takes it back, and the list shows the first words again.

        Raises:
            ExchangeNotFound: the caller has said nothing in such a conversation.
        """
        there = select(_exchanges.c.id).where(*_said_in(caller, id)).limit(1)
        if not await self._exchanges.rows(there):
            raise _not_found()
        if title is None:
            await self._forget_title(caller, id)
            return
        given = insert(_titles).values(conversation_id=id, caller=caller, title=title)
        statement = given.on_conflict_do_update(
            constraint=_titles.primary_key, set_={"title": literal(title)}
        )
        await self._exchanges.rows(statement)

    async def delete(self, caller: str, id: UUID) -> tuple[int, bool]:
        """Delete what was said in the newest exchanges of a conversation; how many, and whether there are more.

        Raises:
            ExchangeNotFound: the caller has said nothing in such a conversation.
        """
        held = [one for one in (await self._exchanges.held(caller, id)).values() if one.deleted_at is None]
        page = await self._exchanges.select(caller, _said_in(caller, id), limit=DELETED_AT_ONCE, after=None)
        said = {one.id: one for one in (*held[:DELETED_AT_ONCE], *page.exchanges)}
        if not said:
            raise _not_found()
        for exchange in said.values():
            await self._deletion.delete(exchange)
        more = page.has_more or len(held) > DELETED_AT_ONCE
        if not more:
            await self._forget_title(caller, id)
        return len(said), more

    async def _forget_title(self, caller: str, id: UUID) -> None:
        mine = (_titles.c.conversation_id == id, _titles.c.caller == caller)
        await self._exchanges.rows(delete(_titles).where(*mine))


def _said_in(caller: str, id: UUID) -> list[ColumnElement[bool]]:
    return [
        _exchanges.c.caller == caller,
        _exchanges.c.conversation_id == id,
        _exchanges.c.deleted_at.is_(None),
        not_before(id),
    ]


def _not_found() -> ExchangeNotFound:
    return ExchangeNotFound("There is no such conversation.", param="id")
