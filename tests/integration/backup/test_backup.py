"""A backup is whole or refused, and a restore brings all or nothing."""

import asyncio
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from adapters.backup import programs, tables
from adapters.backup.archive import NotWhole, reading
from adapters.backup.programs import NoPrograms, Programs, at_least, target
from adapters.conversations.entries import record
from adapters.conversations.spool_file import SpoolFile
from adapters.database.base import Base
from adapters.database.schema import newest
from adapters.settings import BadSettings
from tests.commands import run_command
from tests.databases import log_settings, other_database, rows
from tests.migration.test_data import contents
from tests.migration.test_versions import NEXT, NEXT_BUT_ONE, become
from tests.migration.written_then import WRITTEN
from tests.records import an_exchange

EVERY_TABLE = ("0007", "0005", "0003", "0008", "0009", "0010")
_COUNT = "SELECT count(*) FROM exchanges"


def filled(url: str) -> str:
    """The database, with something in every table."""
    for revision in EVERY_TABLE:
        for statement in WRITTEN[revision]:
            rows(url, statement)
    return url


@pytest.fixture(scope="module")
def full_url(postgres_url: str, _template: str) -> str:
    """A database with something in every table, which no test changes."""
    rows(postgres_url, f"CREATE DATABASE backed_up TEMPLATE {_template}")
    return filled(other_database(postgres_url, "backed_up"))


@pytest.fixture(scope="module")
def made(full_url: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of it, alone in its folder."""
    file = tmp_path_factory.mktemp("made") / "backup.tar"
    done = zephyr(full_url, "backup", file)
    assert done.exit_code == 0, done.output
    return file


@pytest.fixture(autouse=True)
def _no_spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEPHYR_SPOOL_DIR", str(tmp_path / "spool"))


def zephyr(url: str, *arguments: object) -> Result:
    return run_command(*arguments, DATABASE_URL=url, ZEPHYR_HOME="/no-such-folder")


def test_everything_comes_back_as_it_was(made: Path, full_url: str, empty_database_url: str) -> None:
    """Row for row, into an empty database and into a migrated one; what it is made of says so itself."""
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert [file.name for file in made.parent.iterdir()] == [made.name], "nothing is left beside it"
    with tarfile.open(made) as tar:
        assert tar.getnames() == ["database.dump", "manifest.json"]
    there = asyncio.run(contents(full_url))
    assert set(there) == set(Base.metadata.tables)
    done = zephyr(empty_database_url, "restore", made)
    assert done.exit_code == 0, done.output
    assert "13 exchanges" in done.stdout
    assert asyncio.run(contents(empty_database_url)) == there
    again = zephyr(empty_database_url, "restore", made)
    assert again.exit_code == 1
    assert "there is something in the database: conversation_items (1 rows)" in again.stderr
    assert asyncio.run(contents(empty_database_url)) == there


def test_a_backup_of_an_older_schema_is_brought_up_to_date(
    database_url: str, tmp_path: Path, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version that restores it goes on from there; a database that was migrated already is no hindrance."""
    assert zephyr(filled(database_url), "migrate", "--to", "0009", "--yes").exit_code == 0
    older = tmp_path / "older.tar"
    with monkeypatch.context() as then:
        then.setattr("adapters.database.schema.newest", lambda: "0009")
        assert zephyr(database_url, "backup", older).exit_code == 0
    assert zephyr(empty_database_url, "migrate").exit_code == 0
    done = zephyr(empty_database_url, "restore", older)
    assert done.exit_code == 0, done.output
    assert rows(empty_database_url, "SELECT version_num FROM alembic_version")[0][0] == newest()
    assert rows(empty_database_url, _COUNT)[0][0] == 13
    assert rows(empty_database_url, "SELECT FROM conversation_titles") == []


def test_what_is_torn_or_changed_is_refused_before_anything_is(
    made: Path, database_url: str, tmp_path: Path
) -> None:
    """Cut off anywhere, a byte flipped, something else altogether: the database is not even asked."""
    whole = made.read_bytes()
    broken = tmp_path / "broken.tar"
    cuts = [0, 1, 511, 512, 600, len(whole) // 2, len(whole) - 3000, len(whole) - 1024 - 512]
    changed = [
        whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        for place in (100, 700, len(whole) // 2)
    ]
    for content in (*(whole[:cut] for cut in cuts), *changed, b"-- SQL\n" * 1000):
        broken.write_bytes(content)
        with pytest.raises(NotWhole, match=r"broken\.tar"), reading(broken) as backup:
            list(backup.verify())
    done = zephyr("postgresql://nobody@/nothing?host=/no-such-folder", "restore", broken)
    assert (done.exit_code, "broken.tar is not a whole backup" in done.stderr) == (1, True)
    missing = zephyr(database_url, "restore", tmp_path / "missing.tar")
    assert (missing.exit_code, "cannot be read (No such file" in missing.stderr) == (1, True)


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Puts a script in the place of one of PostgreSQL's programs, which finds the true one as `$REAL`."""

    def play(name: str, script: str) -> None:
        real = at_least(18)
        folder = tmp_path / f"played-{name}"
        folder.mkdir()
        for other in ("pg_dump", "pg_restore", "psql"):
            text = script if other == name else 'exec "$REAL" "$@"'
            (folder / other).write_text(f"#!/bin/sh\nREAL={real.folder}/{other}\n{text}\n")
            (folder / other).chmod(0o755)
        found = Programs(folder=folder, major=real.major)
        monkeypatch.setattr(programs, "at_least", lambda _: found)

    yield play


@pytest.mark.parametrize(
    ("name", "script", "said"),
    [
        (
            "pg_restore",
            '"$REAL" "$@" | head -c 20000; echo "pg_restore: error: no room" >&2; exit 1',
            "pg_restore failed",
        ),
        ("psql", 'head -c 9000 | "$REAL" "$@"; echo "psql: error: gone" >&2; exit 2', "psql failed"),
    ],
)
def test_a_restore_that_fails_half_way_changes_nothing(
    made: Path, database_url: str, empty_database_url: str, played: Any, name: str, script: str, said: str
) -> None:
    """The tables that were there are there, empty as before; with the next try all is well."""
    assert zephyr(empty_database_url, "migrate").exit_code == 0
    before = asyncio.run(contents(empty_database_url))
    with pytest.MonkeyPatch.context():
        played(name, script)
        done = zephyr(empty_database_url, "restore", made)
    assert (done.exit_code, said in done.stderr) == (1, True), done.output
    assert "nothing was changed" in done.stderr
    assert asyncio.run(contents(empty_database_url)) == before
    assert rows(empty_database_url, "SELECT version_num FROM alembic_version")[0][0] == newest()


def test_what_comes_into_the_database_meanwhile_is_not_lost(
    made: Path, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction looks again, with everybody else locked out."""
    assert zephyr(empty_database_url, "migrate").exit_code == 0
    for statement in WRITTEN["0010"]:
        rows(empty_database_url, statement)

    async def seen_too_early(_: object) -> dict[str, int]:
        return {}

    monkeypatch.setattr(tables, "counted", seen_too_early)
    done = zephyr(empty_database_url, "restore", made)
    assert (done.exit_code, "nothing was changed" in done.stderr) == (1, True)
    assert "psql failed: psql:<stdin>" in done.stderr
    assert "there is something in public.conversation_titles" in done.stderr
    assert len(rows(empty_database_url, "SELECT FROM conversation_titles")) == 1


def test_a_backup_that_fails_leaves_no_file(full_url: str, made: Path, played: Any) -> None:
    """Nor does it overwrite one."""
    again = zephyr(full_url, "backup", made)
    assert (again.exit_code, "exists, and a backup is never overwritten" in again.stderr) == (1, True)
    nowhere = zephyr(full_url, "backup", "/no-such-folder/backup.tar")
    assert (nowhere.exit_code, "cannot be written (No such file" in nowhere.stderr) == (1, True)
    away = zephyr("postgresql://nobody:hunter2@/x?host=/no-such-folder", "backup", made.with_name("away.tar"))
    assert (away.exit_code, "The database cannot be used now" in away.stderr) == (1, True)
    assert "hunter2" not in away.output
    played("pg_dump", '"$REAL" "$@" | head -c 3000; echo "pg_dump: error: no more" >&2; exit 1')
    failed = zephyr(full_url, "backup", made.with_name("failed.tar"))
    assert (failed.exit_code, "pg_dump failed: pg_dump: error: no more" in failed.stderr) == (1, True)
    assert [file.name for file in made.parent.iterdir() if file.is_file()] == [made.name]


def test_the_password_is_on_no_command_line(
    full_url: str, made: Path, empty_database_url: str, played: Any, tmp_path: Path
) -> None:
    """Of none of the programs, wherever the URL holds it; their environment has it, which is nobody else's to read."""
    seen = tmp_path / "seen"
    for name in ("pg_dump", "pg_restore", "psql"):
        played(name, f'echo "$0 $@ | $PGPASSWORD | $DATABASE_URL" >> {seen}; exec "$REAL" "$@"')
        if name == "pg_dump":
            done = zephyr(
                full_url.replace("postgres@", "postgres:hunter2@"), "backup", tmp_path / "again.tar"
            )
        else:
            rows(empty_database_url, "DROP TABLE IF EXISTS alembic_version")
            done = zephyr(empty_database_url + "&password=hunter2", "restore", made)
            for table in (*Base.metadata.tables, "alembic_version"):
                rows(empty_database_url, f"DROP TABLE {table} CASCADE")
        assert done.exit_code == 0, done.output
    lines = seen.read_text().splitlines()
    assert [line.split()[0].rsplit("/", 1)[-1] for line in lines] == ["pg_dump", "pg_restore", "psql"]
    for line in lines:
        command, password, url = line.split("|")
        assert "hunter2" not in command
        assert (password.strip(), url.strip()) == ("hunter2", "")
    with pytest.raises(BadSettings, match="sslpassword"):
        target(log_settings(full_url + "&sslpassword=x"))


def test_programs_are_never_older_than_the_server(
    made: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which are found, and what to install; nor is a newer version's backup, or database, taken."""
    with pytest.raises(NoPrograms, match=r"PostgreSQL 99 or newer are needed; found: .*postgresql-client-99"):
        at_least(99)
    asyncio.run(become(database_url, NEXT_BUT_ONE, NEXT))
    newer = zephyr(database_url, "restore", made)
    assert (newer.exit_code, "belongs to a newer version" in newer.stderr) == (1, True)
    refused = zephyr(database_url, "backup", made.with_name("newer.tar"))
    assert (refused.exit_code, "start a newer version" in refused.stderr) == (1, True)
    monkeypatch.setattr("adapters.database.schema.newest", lambda: "0009")
    unknown = zephyr(database_url, "restore", made)
    assert (unknown.exit_code, "made by a newer version" in unknown.stderr) == (1, True)


def test_what_waits_in_spools_is_shipped_first_or_said(
    database_url: str, empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of gateways that have ended it is in the backup; of what cannot be had the status says that it is not."""
    folder = tmp_path / "spool"
    folder.mkdir()
    monkeypatch.setenv("ZEPHYR_SPOOL_DIR", str(folder))
    waiting = [an_exchange() for _ in range(3)]
    left = SpoolFile(folder / "spool-0.sqlite", 2**20)
    left.append([record(exchange) for exchange in waiting])
    left.close()
    done = zephyr(database_url, "backup", tmp_path / "one.tar")
    assert done.exit_code == 0, done.output
    assert "3 records that waited in a spool were shipped first" in done.stdout
    assert zephyr(empty_database_url, "restore", tmp_path / "one.tar").exit_code == 0
    found = {row["id"] for row in rows(empty_database_url, "SELECT id FROM exchanges")}
    assert found == {exchange.id for exchange in waiting}
    (folder / "spool-1.sqlite").write_bytes(b"this is no spool " * 500)
    unreadable = zephyr(database_url, "backup", tmp_path / "two.tar")
    assert (unreadable.exit_code, "spool-1.sqlite is damaged" in unreadable.stderr) == (3, True)
    assert (tmp_path / "two.tar").exists()


def test_the_archive_is_postgresqls_own(made: Path) -> None:
    """Who has only the file and PostgreSQL can read it."""
    command = f"tar -xOf {made} database.dump | {at_least(18).path('pg_restore')} --list"
    listed = subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stdout
    assert "TABLE DATA public exchanges_first" in listed
