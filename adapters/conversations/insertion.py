"""Writing entries into PostgreSQL: each kind has its statement, and a batch is there as a whole or not at all."""

from collections.abc import Sequence
from typing import TypeAlias

from adapters.conversations.claims import keep_statement, kept_row
from adapters.conversations.entries import Entry
from adapters.conversations.exchange import Exchange
from adapters.conversations.models import ExchangeRow
from adapters.conversations.repository import insert_statement, row
from adapters.database.session import Connection

Insertion: TypeAlias = tuple[str, list[object]]
"""A statement and its values."""

_INSERT, _KEEP = insert_statement(), keep_statement()


def look_statement() -> str:
    """The SQL that reads nothing, and fails where a table or a column is missing that the entries need."""
    columns = ", ".join(f"exchanges.{column.name}" for column in ExchangeRow.__table__.columns)
    return f"SELECT {columns}, idempotent_answers.answer FROM exchanges, idempotent_answers LIMIT 0"  # noqa: S608


def insertion(entry: Entry) -> Insertion:
    """What writes an entry, unless it is there already.

    Raises:
        ExchangeRefused: a text is not UTF-8.
    """
    return (_INSERT, row(entry)) if isinstance(entry, Exchange) else (_KEEP, kept_row(entry))


async def insert_all(connection: Connection, insertions: Sequence[Insertion]) -> None:
    """Write a batch. One of a single kind, which most are, takes one round trip and no transaction of ours."""
    rows: dict[str, list[list[object]]] = {}
    for statement, values in insertions:
        rows.setdefault(statement, []).append(values)
    if len(rows) == 1:
        await connection.executemany(*rows.popitem())  # all or nothing by itself
        return
    async with connection.transaction():
        for each in rows.items():
            await connection.executemany(*each)
