"""What is left elsewhere of exchanges whose partition was dropped: feedback, kept answers, events, items, titles.

They are fewer than the exchanges, and none of them is partitioned: they go some at a time, while the log is in use. A
gateway that is killed in between leaves them to the next look.
"""

from uuid import UUID

from adapters.database.session import Connection

_AT_ONCE = 1000
_BY_ID = (
    ("feedback", "exchange_id"),
    ("idempotent_answers", "exchange_id"),
    ("response_events", "response_id"),
    ("open_responses", "id"),
    ("conversation_items", "id"),
)
"""Tables, and the column with an id that is as old as what it stands for."""
_EMPTY_CONVERSATIONS = """
    DELETE FROM conversations WHERE id = ANY(ARRAY(
        SELECT id FROM conversations WHERE id < $1
          AND NOT EXISTS (SELECT FROM conversation_items WHERE conversation_id = conversations.id)
          AND NOT EXISTS (SELECT FROM exchanges WHERE conversation_id = conversations.id)
        LIMIT $2))"""

_TITLES_OF_NOTHING = """
    DELETE FROM conversation_titles WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM conversation_titles AS one WHERE conversation_id < $1
          AND NOT EXISTS (SELECT FROM exchanges WHERE conversation_id = one.conversation_id)
        LIMIT $2))"""


async def forget_before(connection: Connection, first_kept: UUID) -> int:
    """Remove what belongs to exchanges with lower ids than this; how much it was.

    A conversation goes when nothing is left of what was said in it.
    """
    removed = 0
    for table, column in _BY_ID:
        old = f"SELECT ctid FROM {table} WHERE {column} < $1 LIMIT $2"  # noqa: S608  # names of ours
        delete = f"DELETE FROM {table} WHERE ctid = ANY(ARRAY({old}))"  # noqa: S608
        removed += await _remove(connection, delete, first_kept)
    for statement in (_EMPTY_CONVERSATIONS, _TITLES_OF_NOTHING):
        removed += await _remove(connection, statement, first_kept)
    return removed


async def _remove(connection: Connection, statement: str, first_kept: UUID) -> int:
    removed = 0
    while True:
        done = int((await connection.execute(statement, first_kept, _AT_ONCE)).split()[1])
        removed += done
        if done < _AT_ONCE:
            return removed
