"""Kills a process at each statement that it gives to SQLite while it keeps, takes over and forgets records.

Prints how many steps there were. After each death every record that had been acknowledged must still be in one of the
files, unless it had been shipped.
"""

import os
import signal
import sys
import tempfile
from pathlib import Path
from uuid import UUID

from uuid_utils.compat import uuid7

from adapters.conversations.spool import _move
from adapters.conversations.spool_file import Record, SpoolFile, SpoolTaken

_ROOM = 2**24


def a_record() -> Record:
    id = uuid7()
    return Record(id, id, b"said " * 100)


def live(folder: Path, left: list[UUID], acknowledged: int, step: int) -> None:
    """The life of a process: it takes over what another left, keeps records of its own, ships some."""
    own, other = SpoolFile(folder / "spool-1.sqlite", _ROOM), SpoolFile(folder / "spool-0.sqlite", _ROOM)
    countdown = step

    def one_step(_: str) -> None:
        nonlocal countdown
        countdown -= 1
        if countdown == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    for file in (own, other):
        file._connection.set_trace_callback(one_step)
    kept = [a_record(), a_record()]
    own.append(kept)
    os.write(acknowledged, b"".join(b"+" + record.id.bytes for record in kept))
    _move(other, own)
    shipped = own.first(5)
    os.write(acknowledged, b"".join(b"-" + one.record.id.bytes for one in shipped))
    own.remove([one.place for one in shipped])
    own.set_aside([own.first(1)[0].place])
    own.close()
    other.close()
    os._exit(0)


def survives(step: int) -> bool:
    """Whether a process that dies at this step has lost nothing; raises AssertionError if it has."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        left = [a_record() for _ in range(6)]
        file = SpoolFile(folder / "spool-0.sqlite", _ROOM)
        file.append(left)
        file.close()
        told, acknowledged = os.pipe()
        if (child := os.fork()) == 0:
            live(folder, [record.id for record in left], acknowledged, step)
        os.close(acknowledged)
        with os.fdopen(told, "rb") as pipe:
            said = pipe.read()
        _, status = os.waitpid(child, 0)
        expected = {record.id for record in left}
        for start in range(0, len(said), 17):
            id = UUID(bytes=said[start + 1 : start + 17])
            (expected.add if said[start : start + 1] == b"+" else expected.discard)(id)
        found = in_files(folder)
        assert expected <= found, f"step {step}: {len(expected - found)} lost"
        return os.WIFSIGNALED(status)


def in_files(folder: Path) -> set[UUID]:
    found: set[UUID] = set()
    for path in folder.glob("*.sqlite"):
        try:
            file = SpoolFile(path, _ROOM)
        except SpoolTaken:
            raise AssertionError("a dead process holds a file") from None
        found |= {one.record.id for one in file.first(100)}
        found |= {UUID(bytes=id) for (id,) in file._connection.execute("SELECT id FROM refused")}
        file.close()
    return found


if __name__ == "__main__":
    steps = 1
    while survives(steps):
        steps += 1
    print(steps - 1)
    sys.exit(0)
