"""Queries on the exchanges that clients asked to be stored. There is no second copy: they are those of the log."""

from collections.abc import Mapping
from typing import cast
from uuid import UUID

import msgspec
from sqlalchemy import Table, update

from adapters.conversations import pairs
from adapters.conversations.errors import ExchangeNotFound, LogUnavailable
from adapters.conversations.exchange import ANSWERED, Exchange
from adapters.conversations.models import ExchangeRow
from adapters.conversations.repository import ExchangeRepository, Page, exchange_of

_exchanges = cast(Table, ExchangeRow.__table__)


class StoredExchanges:
    """The answered and stored exchanges of one endpoint. Every method raises LogUnavailable where the log is away."""

    def __init__(self, log: ExchangeRepository, endpoint: str) -> None:
        self._log = log
        self._endpoint = endpoint
        self._visible = (
            _exchanges.c.stored,
            _exchanges.c.endpoint == endpoint,
            _exchanges.c.outcome.in_(ANSWERED),
        )

    async def get(self, caller: str, id: UUID) -> Exchange:
        """One of them.

        Raises:
            ExchangeNotFound: this caller has stored no such exchange, or has deleted it.
        """
        return self._if_visible(await self._log.get(caller, id))

    async def branch(self, caller: str, id: UUID) -> list[Exchange]:
        """What leads to one of them, from the first exchange of its conversation on, whether stored or not.

        Raises:
            ExchangeNotFound: this caller has stored no such exchange, or has deleted it.
            ConversationTooLong: it is longer than is read at once.
        """
        branch = await self._log.branch(caller, id)
        self._if_visible(branch[-1])
        return branch

    async def page(
        self,
        caller: str,
        *,
        model: str | None,
        metadata: Mapping[str, str],
        limit: int,
        after: UUID | None,
        ascending: bool,
    ) -> Page:
        """Up to `limit` of them; fewer where their texts are long. `metadata` keeps those that have all its pairs.

        Raises:
            ExchangeNotFound: this caller has no exchange `after`. One that was deleted still is a place to go on from.
        """
        conditions = list(self._visible)
        if model is not None:
            conditions.append(_exchanges.c.model == model)
        if metadata:
            conditions.append(_exchanges.c.metadata_pairs.contains(pairs.hashed(caller, metadata)))
        return await self._log.select(caller, conditions, limit=limit, after=after, ascending=ascending)

    async def set_metadata(self, caller: str, id: UUID, metadata: Mapping[str, str]) -> Exchange:
        """Put other metadata in the place of what one of them has.

        Raises:
            ExchangeNotFound: this caller has stored no such exchange, or has deleted it.
            LogUnavailable: it waits in the spool, where nothing is changed.
        """
        statement = (
            update(_exchanges)
            .where(_exchanges.c.caller == caller, _exchanges.c.id == id, *self._visible)
            .values(
                metadata=msgspec.json.encode(metadata), metadata_pairs=pairs.hashed(caller, metadata) or None
            )
            .returning(_exchanges)
        )
        found = await self._log.rows(statement)
        if not found:
            await self.get(caller, id)
            raise LogUnavailable("This is not in the database yet; try again shortly.")
        return exchange_of(found[0])

    def _if_visible(self, exchange: Exchange) -> Exchange:
        answered = exchange.outcome in ANSWERED and exchange.endpoint == self._endpoint
        if not (exchange.stored and answered):
            raise ExchangeNotFound(param="id")
        return exchange
