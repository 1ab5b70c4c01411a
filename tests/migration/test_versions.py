"""Which schemas a gateway runs with: its own, and a newer one that says so. Others are refused, with what to do."""

import asyncio
from pathlib import Path

import pytest

from adapters import server
from adapters.conversations.writer import ExchangeWriter
from adapters.database.migrate import CannotMigrate, migrate
from adapters.database.schema import look, newest, remark
from adapters.database.session import connect
from adapters.database.starting import require_schema
from adapters.settings import BadSettings
from tests.commands import no_logs_of_its_own, run_command
from tests.databases import fetch, log_settings, rows
from tests.migration.written_then import WRITTEN
from tests.records import an_exchange

NEXT, NEXT_BUT_ONE = (f"{int(newest()) + more:04}" for more in (1, 2))


async def become(url: str, revision: str, gateways_from: str) -> None:
    """Make the database look as if a version had migrated it that does not exist yet."""
    await fetch(url, f"UPDATE alembic_version SET version_num = '{revision}'")
    await fetch(url, remark(gateways_from))


async def test_a_migration_keeps_which_gateways_it_takes(empty_database_url: str) -> None:
    """Beside the revision, on the way up and down: the ones before, unless it says otherwise."""
    settings = log_settings(empty_database_url)
    for revision, takes in (
        ("0001", "0001"),
        ("0009", "0008"),
        ("head", "0009"),
        ("0009", "0008"),
        ("base", "base"),
    ):
        await migrate(settings, revision=revision)
        connection = await connect(settings)
        assert (await look(connection)).gateways_from == takes
        await connection.close()


async def test_it_starts_on_its_own_schema_and_on_one_that_takes_it(database_url: str) -> None:
    """The next version may migrate while gateways of this one run, and are started; it does not migrate back."""
    settings = log_settings(database_url)
    await require_schema(settings)
    await become(database_url, NEXT, newest())
    await require_schema(settings)
    await migrate(settings)
    assert (await fetch(database_url, "SELECT version_num FROM alembic_version"))[0][0] == NEXT
    with pytest.raises(CannotMigrate, match="of a newer version"):
        await migrate(settings, revision="0009")


async def test_it_does_not_start_on_another(database_url: str, empty_database_url: str) -> None:
    """And says which it found, and which command helps."""
    with pytest.raises(
        BadSettings, match=r"DATABASE_URL: the database has no tables .* run `zephyr migrate`"
    ):
        await require_schema(log_settings(empty_database_url))
    await become(database_url, "0009", "0008")
    with pytest.raises(
        BadSettings, match=rf"is older \(0009\) than this gateway needs \({newest()}\): run `zephyr migr"
    ):
        await require_schema(log_settings(database_url))
    await become(database_url, NEXT_BUT_ONE, NEXT)
    newer = rf"newer \({NEXT_BUT_ONE}\) and takes gateways from {NEXT} on, and this one is of {newest()}: start a newer"
    with pytest.raises(BadSettings, match=newer):
        await require_schema(log_settings(database_url))
    with pytest.raises(CannotMigrate, match=newer):
        await migrate(log_settings(database_url))
    await fetch(database_url, remark(None))
    with pytest.raises(BadSettings, match="is newer"):
        await require_schema(log_settings(database_url))


async def test_it_starts_while_the_database_is_away(tmp_path: Path) -> None:
    """The spool takes what is said; the writer looks at the schema when there is one."""
    await require_schema(log_settings(f"postgresql://nobody@/nothing?host={tmp_path}"))


async def test_a_running_gateway_writes_nothing_into_a_schema_that_takes_it_no_longer(
    database_url: str, tmp_path: Path
) -> None:
    """What it is given goes to the spool, and is shipped when it is taken again, by it or by its successor."""
    writer = ExchangeWriter(log_settings(database_url, spool_dir=tmp_path))
    await writer.start()
    await writer.commit(an_exchange())
    await become(database_url, NEXT_BUT_ONE, NEXT)
    async with asyncio.timeout(15):
        while writer.link.up:
            await asyncio.sleep(0.05)
    assert "start a newer version" in str(writer.link.last_error)
    await writer.commit(an_exchange())
    assert (writer.status().spooled, len(await fetch(database_url, "SELECT FROM exchanges"))) == (1, 1)
    await become(database_url, NEXT, newest())
    async with asyncio.timeout(15):
        while writer.status().spooled:
            await asyncio.sleep(0.05)
    assert len(await fetch(database_url, "SELECT FROM exchanges")) == 2
    await writer.close()


def test_going_down_is_asked_for_and_says_what_it_loses(database_url: str) -> None:
    """And a revision that is none is refused by name."""
    for statement in WRITTEN["0010"]:
        rows(database_url, statement)
    asked = run_command("migrate", "--to", "0008", answer="n\n", DATABASE_URL=database_url)
    assert asked.exit_code == 1
    assert "0010: Drop the table, with every title" in asked.stderr
    assert "0009: Drop the table: what limited keys" in asked.stderr
    assert len(rows(database_url, "SELECT FROM conversation_titles")) == 1
    done = run_command("migrate", "--to", "0009", "--yes", DATABASE_URL=database_url)
    assert (done.exit_code, done.stdout) == (0, "The database is at 0009.\n")
    none = run_command("migrate", "--to", "0099", DATABASE_URL=database_url)
    assert (none.exit_code, "there is no revision 0099" in none.stderr) == (1, True)


def test_a_gateway_that_may_not_start_says_so_and_ends(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With 2, as for other settings that cannot be used."""
    asyncio.run(become(database_url, NEXT_BUT_ONE, NEXT))
    monkeypatch.setenv("DATABASE_URL", database_url)
    with no_logs_of_its_own(), pytest.raises(SystemExit) as ended:
        server.run()
    assert ended.value.code == 2
    assert (
        "The gateway cannot start:\nDATABASE_URL: the database's schema is newer" in capsys.readouterr().err
    )
