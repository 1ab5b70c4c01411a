"""Everything that a caller has said is erased by one command, wherever it is."""

import os
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from uuid_utils.compat import uuid7

from adapters.conversations.entries import Entry, record
from adapters.conversations.erasing import erase_spooled
from adapters.conversations.kept import KeptAnswer
from adapters.conversations.spool_file import Record, SpoolFile
from adapters.conversations.writer import ExchangeWriter
from tests.beside import BESIDE, add_beside
from tests.databases import fetch, log_settings
from tests.records import an_exchange

ROOT = Path(__file__).parents[3]
SECRET = b'[{"role": "user", "content": "my number is 0123456789"}]'


def erase(url: str, spool: Path, *arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return subprocess.run(
        [sys.executable, "-m", "adapters", "log", "erase", *arguments],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "DATABASE_URL": url,
            "ZEPHYR_SPOOL_DIR": str(spool),
            "ZEPHYR_ADMIN_PORT": "1",
        },
        input=said,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def keep(path: Path, *entries: Entry) -> None:
    """Leave entries in a spool file, as a process does that has ended."""
    with closing(SpoolFile(path, 2**20)) as file:
        file.append([record(entry) for entry in entries])


async def test_all_of_one_caller_is_gone_and_nothing_of_another(
    writer: ExchangeWriter, database_url: str, tmp_path: Path
) -> None:
    """In PostgreSQL, with the feedback, and in the spool, down to the bytes of its file."""
    theirs = [an_exchange(caller="them", input=SECRET) for _ in range(3)]
    mine = [an_exchange(caller="me") for _ in range(2)]
    for exchange in (*theirs, *mine):
        await writer.commit(exchange)
    for exchange in (theirs[0], mine[0]):
        await fetch(
            database_url,
            "INSERT INTO feedback (exchange_id, caller, given_at, rating) VALUES ($1, $2, now(), 1)",
            exchange.id,
            exchange.caller,
        )
    path = tmp_path / "spool-0.sqlite"
    keep(path, an_exchange(caller="them", input=SECRET), kept := an_exchange(caller="me"))

    done = erase(database_url, tmp_path, "--caller", "them", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Erased: 3 exchanges in PostgreSQL, 1 in the spool.\n"
    left = await fetch(database_url, "SELECT id FROM exchanges ORDER BY id")
    assert [row["id"] for row in left] == [exchange.id for exchange in mine]
    assert [row["caller"] for row in await fetch(database_url, "SELECT caller FROM feedback")] == ["me"]
    assert not any(b"0123456789" in file.read_bytes() for file in tmp_path.iterdir())
    with closing(SpoolFile(path, 2**20)) as file:
        assert [id for id, _ in file.everything()] == [kept.id]


async def test_what_stands_beside_the_exchanges_goes_as_well(
    writer: ExchangeWriter, database_url: str, tmp_path: Path
) -> None:
    """Every table that has a caller, so that none is forgotten which is added later; kept answers in the spool too."""
    for caller in ("them", "me"):
        exchange = an_exchange(caller=caller)
        await writer.commit(exchange)
        await add_beside(database_url, exchange)
    keep(tmp_path / "spool-0.sqlite", a_kept_answer("them"), mine := a_kept_answer("me"))

    done = erase(database_url, tmp_path, "--caller", "them", "--yes")
    assert done.stdout == "Erased: 1 exchanges in PostgreSQL, 0 in the spool.\n", done.stderr
    for table in BESIDE:
        assert await fetch(database_url, f"SELECT FROM {table}") != [], table
        if table != "conversation_items":
            left = await fetch(database_url, f"SELECT caller FROM {table}")
            assert [row["caller"] for row in left] == ["me"], table
    assert len(await fetch(database_url, "SELECT FROM conversation_items")) == 1
    with closing(SpoolFile(tmp_path / "spool-0.sqlite", 2**20)) as file:
        assert [id for id, _ in file.everything()] == [mine.holder]


async def test_the_tables_beside_the_exchanges_are_all_of_the_schema(database_url: str) -> None:
    """So that the tests of erasing and of retention see each of them. Keys and their limits hold nothing of what was said."""
    tables = "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace"
    found = {row["relname"] for row in await fetch(database_url, tables)}
    assert found == {"exchanges", "alembic_version", "keys", "tenants", "limit_states", *BESIDE}


def a_kept_answer(caller: str) -> KeptAnswer:
    """An answer that waits in the spool."""
    return KeptAnswer(
        caller=caller,
        key="key",
        fingerprint=uuid7(),
        exchange_id=uuid7(),
        holder=uuid7(),
        expires_at=datetime.now(UTC) + timedelta(days=1),
        answer=b"",
    )


async def test_more_than_is_erased_at_once(writer: ExchangeWriter, database_url: str, tmp_path: Path) -> None:
    """Goes on until nothing is left."""
    for durable in [writer.commit(an_exchange(caller="them")) for _ in range(2100)]:
        await durable
    done = erase(database_url, tmp_path, "--caller", "them", "--yes")
    assert done.stdout.startswith("Erased: 2100 exchanges"), done.stderr
    assert await fetch(database_url, "SELECT FROM exchanges") == []


async def test_nothing_is_erased_without_a_yes(
    writer: ExchangeWriter, database_url: str, tmp_path: Path
) -> None:
    """A question is asked first, and whoever does not answer it keeps everything."""
    await writer.commit(an_exchange(caller="them"))
    for said in ("", "n\n"):
        assert erase(database_url, tmp_path, "--caller", "them", said=said).returncode == 1
    assert len(await fetch(database_url, "SELECT FROM exchanges")) == 1
    assert erase(database_url, tmp_path, "--caller", "them", said="y\n").returncode == 0
    assert await fetch(database_url, "SELECT FROM exchanges") == []


def test_what_cannot_be_erased_is_said(database_url: str, tmp_path: Path) -> None:
    """A file that a gateway holds, and files that nobody can read, are named, and the command does not end well."""
    held, broken, aside = (
        tmp_path / f"spool-{name}" for name in ("0.sqlite", "1.sqlite", "2.sqlite.damaged-5")
    )
    broken.write_bytes(b"no database at all" * 100)
    aside.write_bytes(b"what is left")
    with closing(SpoolFile(held, 2**20)):
        spooled = erase_spooled(log_settings(database_url, spool_dir=tmp_path), "them")
        assert (spooled.held, spooled.unreadable) == ([held], [broken, aside])
        done = erase(database_url, tmp_path, "--caller", "them", "--yes")
    assert done.returncode == 3
    for path in (held, broken, aside):
        assert str(path) in done.stderr


def test_a_record_that_is_not_whole_is_said(database_url: str, tmp_path: Path) -> None:
    """It stays: nobody can say whose it is."""
    path = tmp_path / "spool-0.sqlite"
    with closing(SpoolFile(path, 2**20)) as file:
        one = an_exchange(caller="them")
        file.append([Record(one.id, one.id, b"\x00 not an exchange")])
    spooled = erase_spooled(log_settings(database_url, spool_dir=tmp_path), "them")
    assert (spooled.erased, spooled.unreadable) == (0, [path])
