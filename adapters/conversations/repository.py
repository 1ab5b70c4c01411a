"""Every query on exchanges. Each one is about a single caller's: nobody reads another's log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add, attrgetter
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import (
    CTE,
    ColumnElement,
    Executable,
    FromClause,
    RowMapping,
    Select,
    Text,
    UnaryExpression,
    and_,
    cast,
    func,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.conversations import pairs
from adapters.conversations.connection import connected, single_statements
from adapters.conversations.entries import decode
from adapters.conversations.errors import ConversationTooLong, ExchangeNotFound, ExchangeRefused
from adapters.conversations.exchange import ANSWERED, Exchange, Outcome
from adapters.conversations.models import ExchangeRow
from adapters.conversations.said import searched
from adapters.conversations.spool import Spool, SpoolBroken
from adapters.database.base import JsonText

_exchanges = ExchangeRow.__table__
_dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
_columns = [column.name for column in _exchanges.columns if column.name in Exchange.__struct_fields__]
_values = attrgetter(*_columns)
_written = (*_columns, "metadata_pairs", "words")
_read = [_exchanges.c[name] for name in _columns]
_texts = [column.name for column in _exchanges.columns if isinstance(column.type, JsonText)]
_CLOCKS_DIFFER = 24 * 3600 * 1000 << 80  # a day of ids: gateways that make them have clocks of their own
_MOST_HITS = 2000  # exchanges of which a search sorts out the newest
_LONGEST_CONVERSATION = 1000  # exchanges that are followed back from the newest


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Exchanges, newest first where nothing else was asked for, and whether there are more."""

    exchanges: Sequence[Exchange]
    has_more: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversation:
    """What has been said so far along one branch of a conversation: answered exchanges, oldest first."""

    id: UUID
    exchanges: Sequence[Exchange]


@dataclass(frozen=True, kw_only=True, slots=True)
class Filters:
    """Which exchanges to list."""

    conversation_id: UUID | None = None
    model: str | None = None
    outcome: Outcome | None = None
    words: str | None = None
    """What was said in them, as one writes it for a search engine."""


class ExchangeRepository:
    """Reads the log. Every method raises LogUnavailable where the database is away."""

    def __init__(self, engine: AsyncEngine, page_bytes: int, spool: Spool | None = None) -> None:
        """What waits in `spool` is found as well, but for lists."""
        self._engine = single_statements(engine)
        self._page_bytes = page_bytes
        self._spool = spool

    async def get(self, caller: str, exchange_id: UUID) -> Exchange:
        """One exchange.

        Raises:
            ExchangeNotFound: this caller has no such exchange.
        """
        held = await self.held(caller, exchange_id)
        if exchange_id in held:
            return held[exchange_id]
        found = await self.rows(select(*_read).where(*_one(caller, exchange_id)))
        if not found:
            raise ExchangeNotFound(param="id")
        return exchange_of(found[0])

    async def page(self, caller: str, *, filters: Filters, limit: int, after: UUID | None = None) -> Page:
        """Up to `limit` exchanges, newest first, that are older than `after`; fewer where their texts are long.

        Raises:
            ExchangeNotFound: this caller has no exchange `after`.
        """
        conditions: list[ColumnElement[bool]] = []
        for name in ("conversation_id", "model", "outcome"):
            if (value := getattr(filters, name)) is not None:
                conditions.append(_exchanges.c[name] == value)
        if filters.conversation_id is not None:
            conditions.append(not_before(filters.conversation_id))
        if filters.words is not None:
            conditions.append(await self._said(caller, filters.words, limit=limit, after=after))
        return await self.select(caller, conditions, limit=limit, after=after)

    async def select(
        self,
        caller: str,
        conditions: Sequence[ColumnElement[bool]],
        *,
        limit: int,
        after: UUID | None,
        ascending: bool = False,
    ) -> Page:
        """A page of the caller's exchanges that meet the conditions, in the order of their ids.

        Raises:
            ExchangeNotFound: this caller has no exchange `after`.
        """
        wanted = [_exchanges.c.caller == caller, *conditions]
        if after is not None:
            if not await self.rows(select(_exchanges.c.id).where(*_one(caller, after))):
                raise ExchangeNotFound(param="after")
            wanted.append(_exchanges.c.id > after if ascending else _exchanges.c.id < after)
        found = await self.rows(self._page_query(wanted, limit, ascending))
        return Page(
            exchanges=[exchange_of(mapping) for mapping in found],
            has_more=bool(found) and found[0]["found"] > len(found),
        )

    async def _said(self, caller: str, words: str, *, limit: int, after: UUID | None) -> ColumnElement[bool]:
        """Rare words are found by their index, common ones from the newest exchange on.

        PostgreSQL would have to guess which they are, and for a rare word its guess would be to read everything.
        """
        said = _exchanges.c.words.op("@@")(func.websearch_to_tsquery("simple", words))
        older = true() if after is None else _exchanges.c.id < after
        hits = select(_exchanges.c.id).where(_exchanges.c.caller == caller, older, said).limit(_MOST_HITS + 1)
        found = hits.subquery()
        newest = select(found.c.id, func.count().over().label("hits")).order_by(found.c.id.desc())
        rows = await self.rows(newest.limit(limit + 1))
        common = bool(rows) and rows[0]["hits"] > _MOST_HITS
        return said if common else _exchanges.c.id.in_([row["id"] for row in rows])

    async def conversation(self, caller: str, of: UUID, *, exact: bool = False) -> Conversation:
        """What a new exchange continues: `of` is a conversation, or the exchange up to which to go.

        The branch is that of the newest answered exchange; `exact`, that of the exchange `of` itself, which may have the
        id of its conversation.

        Raises:
            ExchangeNotFound: this caller has no such conversation or exchange.
            ConversationTooLong: it has more exchanges, or longer texts, than can be continued.
        """
        branch = await self.branch(caller, of, exact=exact)
        told = [one for one in branch if one.outcome in ANSWERED and one.deleted_at is None]
        return Conversation(id=branch[0].conversation_id, exchanges=told)

    async def branch(self, caller: str, of: UUID, *, exact: bool = True) -> list[Exchange]:
        """What leads from the first exchange to this one, whatever came of it, deleted ones included; oldest first.

        Unless it is to be `exact`, `of` may be a conversation as well.

        Raises:
            ExchangeNotFound: this caller has no such exchange.
            ConversationTooLong: there are more exchanges, or longer texts, than are read at once.
        """
        held = await self.held(caller, of)
        newest = branch_of(held, of) if of in held or not exact else []
        if not newest:
            return await self._written_branch(caller, of, exact=exact)
        self._check_length(len(newest), sum(map(_length, newest)))
        parent = newest[0].parent_id
        return newest if parent is None else [*await self._written_branch(caller, parent), *newest]

    async def _written_branch(self, caller: str, of: UUID, *, exact: bool = True) -> list[Exchange]:
        branch = self._branch(caller, of, exact)
        query = (
            select(*_read, branch.c.bytes)
            .join(branch, branch.c.id == _exchanges.c.id)
            .order_by(branch.c.depth.desc())
        )
        found = await self.rows(query)
        if not found:
            raise ExchangeNotFound(param="conversation")
        self._check_length(len(found), found[0]["bytes"])
        return [exchange_of(mapping) for mapping in found]

    def _check_length(self, exchanges: int, size: int) -> None:
        if exchanges > _LONGEST_CONVERSATION or size > self._page_bytes:
            raise ConversationTooLong

    async def held(self, caller: str, of: UUID) -> dict[UUID, Exchange]:
        """What the spool holds of an exchange or of its conversation, oldest first."""
        if self._spool is None:
            return {}
        try:
            found = [decode(record) for record in await self._spool.find(of)]
        except (SpoolBroken, ExchangeRefused):
            return {}  # the spool says so itself
        mine = [one for one in found if isinstance(one, Exchange) and one.caller == caller]
        return {exchange.id: as_written(exchange) for exchange in mine}

    def _page_query(
        self, conditions: Sequence[ColumnElement[bool]], limit: int, ascending: bool
    ) -> Select[Any]:
        def order(table: FromClause) -> UnaryExpression[UUID]:
            return table.c.id.asc() if ascending else table.c.id.desc()

        rows = select(*_read).where(*conditions).order_by(order(_exchanges)).limit(limit + 1).subquery()
        counted = select(
            rows,
            func.sum(_bytes(rows)).over(order_by=order(rows)).label("bytes"),
            func.row_number().over(order_by=order(rows)).label("place"),
            func.count().over().label("found"),
        ).subquery()
        fits = or_(counted.c.bytes <= self._page_bytes, counted.c.place == 1)
        return select(counted).where(counted.c.place <= limit, fits).order_by(counted.c.place)

    def _branch(self, caller: str, of: UUID, exact: bool) -> CTE:
        """From the exchange to continue back to the first, as (id, parent_id, depth, bytes so far)."""
        mine = _exchanges.c.caller == caller
        this = _exchanges.c.id == of
        part = and_(not_before(of), or_(_exchanges.c.conversation_id == of, this))
        answered = and_(_exchanges.c.outcome.in_(ANSWERED), _exchanges.c.deleted_at.is_(None))
        last = (
            select(
                _exchanges.c.id,
                _exchanges.c.parent_id,
                literal(1).label("depth"),
                _bytes(_exchanges).label("bytes"),
            )
            .where(mine, this if exact else part)
            .order_by(answered.desc(), _exchanges.c.id.desc())
            .limit(1)
            .cte("branch", recursive=True)
        )
        parents = (
            select(
                _exchanges.c.id, _exchanges.c.parent_id, last.c.depth + 1, last.c.bytes + _bytes(_exchanges)
            )
            .join(last, last.c.parent_id == _exchanges.c.id)
            .where(mine, last.c.depth <= _LONGEST_CONVERSATION, last.c.bytes <= self._page_bytes)
        )
        return last.union_all(parents)

    async def rows(self, statement: Executable | str, values: Sequence[object] = ()) -> Sequence[RowMapping]:
        """The rows that one statement gives; a text is in asyncpg's own form."""
        async with connected(self._engine) as connection:
            if isinstance(statement, str):
                result = await connection.exec_driver_sql(statement, tuple(values))
            else:
                result = await connection.execute(statement)
            return result.mappings().all() if result.returns_rows else ()


def _one(caller: str, id: UUID) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return _exchanges.c.caller == caller, _exchanges.c.id == id


def insert_statement() -> str:
    """The SQL, in asyncpg's own form, that inserts a `row` unless it is there already.

    It finds the parent by the transcript that the exchange goes on from: then the exchange joins the parent's
    conversation, and what the client repeated is not stored again.
    """
    number = {name: f"${place}" for place, name in enumerate((*_written, "follows", "whole"), 1)}
    values = {
        name: f"CAST({number[name]} AS {_exchanges.c[name].type.compile(_dialect)})" for name in _written
    }
    values["words"] = f"to_tsvector('simple', CAST({number['words']} AS TEXT))"
    values["conversation_id"] = f"coalesce(parent.conversation_id, {values['conversation_id']})"
    values["parent_id"] = f"coalesce(parent.id, {values['parent_id']})"
    values["input"] = (
        f"CASE WHEN parent.id IS NULL THEN coalesce(CAST({number['whole']} AS JSON), {values['input']})"
        f" ELSE {values['input']} END"
    )
    return f"""
        INSERT INTO exchanges ({", ".join(_written)})
        SELECT {", ".join(values[name] for name in _written)}
        FROM (SELECT) AS one LEFT JOIN LATERAL (
            SELECT id, conversation_id FROM exchanges
            WHERE CAST({number["follows"]} AS UUID) IS NOT NULL  -- which most have not: then nothing is looked at
              AND caller = CAST({number["caller"]} AS TEXT) AND transcript_hash = CAST({number["follows"]} AS UUID)
            ORDER BY id DESC LIMIT 1
        ) AS parent ON true
        ON CONFLICT (id) DO NOTHING"""  # noqa: S608  # columns' names and types, no values


def row(exchange: Exchange) -> list[object]:
    """The values of an exchange in the order of `insert_statement`.

    Raises:
        ExchangeRefused: a text is not UTF-8.
    """
    try:
        values = [value.decode() if type(value) is bytes else value for value in _values(exchange)]
        whole = _whole(exchange).decode() if exchange.follows else None
    except UnicodeDecodeError:
        raise ExchangeRefused from None
    found_by = (_pairs(exchange) if exchange.stored else None, searched(exchange))
    return [*values, *found_by, exchange.follows, whole]


def _pairs(exchange: Exchange) -> list[UUID] | None:
    return pairs.hashed(exchange.caller, msgspec.json.decode(exchange.metadata)) or None


def as_written(exchange: Exchange) -> Exchange:
    """The exchange as it is written where its parent is not found."""
    return exchange if exchange.earlier is None else msgspec.structs.replace(exchange, input=_whole(exchange))


def _whole(exchange: Exchange) -> bytes:
    """The input with everything that the client repeated in front of it."""
    if exchange.earlier is None or exchange.input == b"[]":
        return exchange.earlier or exchange.input
    return exchange.earlier[:-1] + b"," + exchange.input[1:]


def branch_of(held: Mapping[UUID, Exchange], of: UUID) -> list[Exchange]:
    """Of exchanges that are held in order, those that lead to `of`, or to the newest answered one; oldest first."""
    answered = [id for id, exchange in held.items() if exchange.outcome in ANSWERED]
    last = of if of in held else next(reversed(answered or list(held)), None)
    branch: list[Exchange] = []
    while last is not None and last in held:
        branch.append(held[last])
        last = held[last].parent_id
    return branch[::-1]


def _length(exchange: Exchange) -> int:
    return sum(len(getattr(exchange, name) or b"") for name in _texts)


def exchange_of(mapping: RowMapping) -> Exchange:
    """The exchange of a row."""
    values: dict[str, Any] = {name: mapping[name] for name in _columns}
    return Exchange(**values | {"outcome": Outcome(mapping["outcome"])})


def not_before(conversation: UUID) -> ColumnElement[bool]:
    """Spares looking for a conversation in partitions from before it began: its id is that of its first exchange."""
    if conversation.version != 7:
        return true()
    return _exchanges.c.id >= UUID(int=max(0, conversation.int - _CLOCKS_DIFFER))


def _bytes(table: FromClause) -> ColumnElement[int]:
    """The length of an exchange's texts; PostgreSQL knows it without reading them."""
    lengths = [func.coalesce(func.octet_length(cast(table.c[name], Text)), 0) for name in _texts]
    return reduce(add, lengths)
