"""A log that is full is partitioned, and made one table again, without a change to what is in it."""

from datetime import UTC, datetime, timedelta

from alembic.script import ScriptDirectory

from adapters.conversations import partitions
from adapters.database.migrate import configuration, migrate
from tests.databases import fetch, log_settings
from tests.rows import FILL

_ROWS = "SELECT exchanges::text AS row FROM exchanges ORDER BY id"
_INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'exchanges' ORDER BY 1"


def _before(revision: str) -> str:
    before = ScriptDirectory.from_config(configuration()).get_revision(revision).down_revision
    assert isinstance(before, str)
    return before


async def test_what_was_said_before_is_still_there(empty_database_url: str) -> None:
    """Up, with what is of another month than this in its place; down again; every row as it was."""
    settings = log_settings(empty_database_url)
    await migrate(settings, revision=_before("0006"))
    now = datetime.now(UTC)
    await fetch(empty_database_url, FILL, now - timedelta(days=200), now + timedelta(days=100), 500)
    before = await fetch(empty_database_url, _ROWS)
    indexes = await fetch(empty_database_url, _INDEXES)
    assert len(before) == 500

    await migrate(settings, revision="0006")
    counts = await fetch(
        empty_database_url, "SELECT tableoid::regclass::text, count(*) FROM exchanges GROUP BY 1"
    )
    assert await fetch(empty_database_url, _ROWS) == before
    assert {table for table, _ in counts} == {partitions.FIRST, partitions.LAST}

    await migrate(settings, revision="-1")
    assert await fetch(empty_database_url, _ROWS) == before
    assert await fetch(empty_database_url, _INDEXES) == indexes
