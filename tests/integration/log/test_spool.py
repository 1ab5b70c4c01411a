"""The spool on a real disk: what it has taken survives everything but the loss of the disk."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from operator import attrgetter
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from uuid_utils.compat import uuid7

from adapters.conversations import spool_file
from adapters.conversations.entries import decode, encode
from adapters.conversations.spool import Spool, SpoolBroken
from adapters.conversations.spool_file import Kept, Record, SpoolFile
from tests.databases import NO_SPOOL, log_settings
from tests.records import an_exchange

ROOT = Path(__file__).parents[3]


def a_spool(folder: Path, **settings: object) -> Spool:
    return Spool(log_settings("postgresql://nobody@/nothing", spool_dir=folder, **settings))


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    spool = a_spool(tmp_path)
    yield spool
    await spool.close()


def a_record(content: bytes | None = None, conversation: object = None) -> Record:
    exchange = an_exchange(**({"conversation_id": conversation} if conversation else {}))
    return Record(exchange.id, exchange.conversation_id, encode(exchange) if content is None else content)


def records(kept: list[Kept]) -> list[Record]:
    return [one.record for one in kept]


async def test_what_is_kept_comes_back_whole_and_in_order(spool: Spool) -> None:
    """Every field of an exchange, also those that are used up when it is written."""
    exchanges = [an_exchange(follows=uuid7(), earlier=b'["a"]', stored=True, error=b"{}") for _ in range(5)]
    for exchange in exchanges:
        await spool.keep([Record(exchange.id, exchange.conversation_id, encode(exchange))])
    found = [decode(one.content) for one in records(await spool.first(10))]
    assert found == exchanges
    assert (spool.count, spool.oldest, spool.well) == (5, exchanges[0].id, True)


async def test_room_shrinks_with_what_is_kept_and_grows_with_what_is_shipped(tmp_path: Path) -> None:
    """As far as its limit goes; the file itself never gets smaller."""
    spool = a_spool(tmp_path, spool_max_bytes=4 * 2**20)
    assert spool.room_bytes == 0
    await spool.probe()
    empty = spool.room_bytes
    assert 3 * 2**20 < empty <= 4 * 2**20
    await spool.keep([a_record(b"x" * 2**20)])
    assert empty - 1.1 * 2**20 < spool.room_bytes <= empty - 2**20
    await spool.remove([one.place for one in await spool.first(1)])
    assert spool.room_bytes > empty - 2**16
    await spool.close()


async def test_room_is_no_more_than_the_disk_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_file, "disk_usage", lambda _: shutil.disk_usage("/")._replace(free=123_456))
    spool = a_spool(tmp_path)
    await spool.probe()
    assert spool.room_bytes == 123_456
    await spool.close()


async def test_what_was_shipped_is_gone(spool: Spool) -> None:
    kept = [a_record() for _ in range(3)]
    await spool.keep(kept)
    await spool.remove([one.place for one in await spool.first(2)])
    assert records(await spool.first(10)) == kept[2:]
    assert spool.oldest == kept[2].id


async def test_keeping_twice_is_keeping_once(spool: Spool) -> None:
    record = a_record()
    await spool.keep([record])
    await spool.keep([record, a_record()])
    assert spool.count == 2


async def test_an_exchange_is_found_with_its_conversation(spool: Spool) -> None:
    """By its own id, or by that of the conversation, and without anybody else's."""
    first = a_record()
    second = a_record(conversation=first.id)
    await spool.keep([first, a_record(), second])
    for id in (first.id, second.id):
        assert await spool.find(id) == [first.content, second.content]
    assert await spool.find(uuid7()) == []


async def test_what_is_erased_leaves_no_trace(spool: Spool, tmp_path: Path) -> None:
    """Not in any file, byte for byte."""
    secret = a_record(b"what nobody else may read " * 500)
    await spool.keep([a_record(), secret])
    assert any(b"nobody else" in file.read_bytes() for file in tmp_path.iterdir())
    await spool.erase(secret.id)
    assert not any(b"nobody else" in file.read_bytes() for file in tmp_path.iterdir())
    assert spool.count == 1


async def test_nobody_else_on_this_machine_reads_it(tmp_path: Path) -> None:
    """Also where the folder was there before, and open to others."""
    tmp_path.chmod(0o755)
    spool = a_spool(tmp_path)
    await spool.keep([a_record()])
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    await spool.close()
    assert modes == {"spool-0.sqlite": 0o600, "spool-0.sqlite-wal": 0o600}


async def test_a_second_process_has_a_file_of_its_own(tmp_path: Path) -> None:
    """What the first one holds is its own for as long as it lives, and then the other one's."""
    spool, other = a_spool(tmp_path), a_spool(tmp_path)
    mine, others = a_record(), a_record()
    await spool.keep([mine])
    await other.keep([others])
    assert await other.adopt() == 0
    await spool.close()
    assert await other.adopt() == 1
    assert records(await other.first(10)) == [others, mine]
    assert await other.adopt() == 0
    await other.close()


async def test_the_file_of_a_process_that_ended_is_used_again(tmp_path: Path) -> None:
    """So that a thousand restarts leave one file."""
    for number in range(3):
        spool = a_spool(tmp_path)
        await spool.keep([a_record()])
        assert spool.count == number + 1
        await spool.close()
    assert [file.name for file in tmp_path.glob("*.sqlite")] == ["spool-0.sqlite"]


async def test_a_full_spool_keeps_what_it_has_and_takes_more_when_there_is_room(tmp_path: Path) -> None:
    """A record either is in it or is not: no half of a batch, no damage."""
    spool = a_spool(tmp_path, spool_max_bytes=2**20)
    taken = 0
    with pytest.raises(SpoolBroken):
        for _ in range(100):
            await spool.keep([a_record(os.urandom(40_000)), a_record(os.urandom(10))])
            taken += 2
    assert 20 < taken == spool.count
    assert not spool.well
    assert spool.problem == "SQLITE_FULL"
    await spool.remove([one.place for one in await spool.first(20)])
    await spool.keep([a_record()])
    assert spool.well
    assert spool.count == taken - 19
    await spool.close()


async def test_a_full_disk_loses_nothing_and_is_used_again_when_there_is_room(small_disk: Path) -> None:
    """A real file system without room: what it has can be read, by the next process too, and is the same to the byte."""
    spool = a_spool(small_disk)
    kept: list[Record] = []
    with pytest.raises(SpoolBroken):
        while True:
            record = a_record(os.urandom(10_000))
            await spool.keep([record])
            kept.append(record)
    assert len(kept) > 20
    assert not spool.well
    assert records(await spool.first(1000)) == kept
    with pytest.raises(SpoolBroken):
        await spool.keep([a_record()])
    await spool.close()

    (small_disk / "ballast").unlink()
    spool = a_spool(small_disk)
    kept.append(a_record(os.urandom(10_000)))
    await spool.keep(kept[-1:])
    assert spool.well
    found = records(await spool.first(1000))
    assert sorted(found, key=attrgetter("id")) == sorted(kept, key=attrgetter("id"))
    await spool.close()


async def test_a_full_disk_that_gets_room_needs_no_new_process(small_disk: Path) -> None:
    spool = a_spool(small_disk)
    with pytest.raises(SpoolBroken):
        while True:
            await spool.keep([a_record(os.urandom(10_000))])
    (small_disk / "ballast").unlink()
    count = spool.count
    await spool.keep([a_record()])
    assert (spool.well, spool.count) == (True, count + 1)
    await spool.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB, half of it taken by a ballast."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount a file system")
    try:
        (folder / "ballast").write_bytes(bytes(2**21))
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def test_a_folder_that_cannot_be_used_is_tried_again(tmp_path: Path) -> None:
    """Until then nothing is kept, and nobody is told otherwise."""
    spool = a_spool(NO_SPOOL)
    with pytest.raises(SpoolBroken):
        await spool.keep([a_record()])
    assert not spool.well
    await spool.close()
    folder = tmp_path / "taken"
    folder.write_text("not a folder")
    spool = a_spool(folder)
    await spool.probe()
    assert not spool.well
    folder.unlink()
    with pytest.raises(SpoolBroken):
        await spool.keep([a_record()])  # it was tried just now
    spool._tried_at -= 2
    await spool.keep([a_record()])
    assert spool.well
    await spool.close()


@pytest.mark.parametrize("at", ["head", "middle", "everything"])
async def test_a_damaged_file_is_put_aside_and_what_is_readable_is_saved(tmp_path: Path, at: str) -> None:
    """The process starts, says so, and goes on with a new file."""
    spool = a_spool(tmp_path)
    await spool.keep([a_record(os.urandom(3000)) for _ in range(60)])
    await spool.close()
    file = tmp_path / "spool-0.sqlite"
    content = bytearray(file.read_bytes())
    if at == "everything":
        content = bytearray(os.urandom(len(content)))
    else:
        start = 0 if at == "head" else len(content) // 2
        content[start : start + 4096] = os.urandom(4096)
    file.write_bytes(content)
    spool = a_spool(tmp_path)
    with capture_logs() as lines:
        await spool.probe()
    assert [line["event_key"] for line in lines] == ["spool_damaged"]
    assert spool.well
    assert (0 < spool.count < 60) if at == "middle" else spool.count == 0
    assert list(tmp_path.glob("spool-0.sqlite.damaged-*"))
    await spool.keep([a_record()])
    await spool.close()


async def test_a_record_whose_bytes_have_changed_is_not_passed_off_as_what_was_said(tmp_path: Path) -> None:
    """SQLite does not see a flipped bit in a text; the record's own sum does."""
    spool = a_spool(tmp_path)
    good, bad = a_record(), a_record(b"the text as it was said")
    await spool.keep([good, bad])
    await spool.close()
    file = tmp_path / "spool-0.sqlite"
    file.write_bytes(file.read_bytes().replace(b"as it was said", b"as it was SAID"))
    spool = a_spool(tmp_path)
    assert [one.content for one in records(await spool.first(10))] == [good.content, b""]
    await spool.close()


@pytest.mark.parametrize("cut", [1, 100, 4000, 5000, 9000])
async def test_a_torn_tail_costs_what_was_never_acknowledged(tmp_path: Path, cut: int) -> None:
    """A write-ahead log that ends in the middle of a record: everything before it is there, in order."""
    source = tmp_path / "running"
    file = SpoolFile(_made(source) / "spool-0.sqlite", 2**30)
    kept = [a_record(os.urandom(2000)) for _ in range(20)]
    for record in kept:
        file.append([record])
    torn = _made(tmp_path / "torn")
    for name in ("spool-0.sqlite", "spool-0.sqlite-wal"):
        (torn / name).write_bytes((source / name).read_bytes())
    file.close()
    log = torn / "spool-0.sqlite-wal"
    log.write_bytes(log.read_bytes()[:-cut])
    spool = a_spool(torn)
    await spool.probe()
    found = records(await spool.first(100))
    assert found == kept[: len(found)]
    assert len(kept) - 5 < len(found) < len(kept)
    await spool.close()


def test_a_killed_process_has_kept_what_it_was_told_of(tmp_path: Path) -> None:
    """It kills itself in the moment in which `keep` returns."""
    child = subprocess.run(
        [sys.executable, "-m", "tests.integration.log.keep_and_die", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert child.returncode == -signal.SIGKILL
    file = SpoolFile(tmp_path / "spool-0.sqlite", 2**30)
    assert [str(one.record.id) for one in file.first(10)] == child.stdout.split()
    file.close()


def test_a_process_may_die_at_any_step(tmp_path: Path) -> None:
    """While it keeps, takes over, ships and sets aside: what was acknowledged is in one of the files."""
    child = subprocess.run(
        [sys.executable, "-m", "tests.integration.log.die_at_every_step"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    assert int(child.stdout) > 15


def test_the_disk_is_asked_for_every_batch(tmp_path: Path) -> None:
    """The settings on which durability rests (https://sqlite.org/pragma.html#pragma_synchronous)."""
    file = SpoolFile(tmp_path / "spool-0.sqlite", 2**30)
    found = {
        name: file._connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "secure_delete", "locking_mode")
    }
    assert found == {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "locking_mode": "exclusive"}
    with pytest.raises(sqlite3.OperationalError):
        sqlite3.connect(file.path, timeout=0).execute("SELECT * FROM records")
    file.close()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
