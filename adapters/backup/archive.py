"""The file of a backup: a tar of PostgreSQL's own archive and, after it, a manifest by which it is known to be whole.

`tar -xOf FILE database.dump | pg_restore …` reads it without us.
"""

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

_DUMP, _MANIFEST = "database.dump", "manifest.json"
_FORMAT = 1
_PIECE_BYTES = 256 * 1024
_MOST_MANIFEST_BYTES = 64 * 1024
_MODE = 0o600


class NotWhole(Exception):
    """The file is no backup, or not a whole one; the message says what is wrong with it."""


class CannotWrite(Exception):
    """The file cannot be written; the message says why."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a backup."""

    format: int = _FORMAT
    made_at: datetime
    version: str
    """Of the gateway that made it."""
    revision: str
    """Of the schema."""
    server: int
    """The major version of the PostgreSQL that it was made of."""
    program: int
    """And of the pg_dump that made it."""
    rows: dict[str, int]
    """How many rows each table had, in the very moment that the backup shows."""
    bytes: int = 0
    """Of the archive."""
    sha256: str = ""
    """Of the archive."""


class Writing:
    """A backup that is being written, under a temporary name until it is whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        self._hash = hashlib.sha256()
        self.bytes = 0
        """How much of the archive was written."""
        self._file = os.fdopen(os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE), "wb")
        self._file.write(bytes(tarfile.BLOCKSIZE))  # where the head comes, when the size is known

    def write(self, piece: bytes) -> None:
        """Add to the archive."""
        with _told(self._path):
            self._file.write(piece)
        self._hash.update(piece)
        self.bytes += len(piece)

    def finish(self, manifest: Manifest) -> Manifest:
        """Add the manifest and give the file its name; the manifest as it is in the file."""
        told = msgspec.structs.replace(manifest, bytes=self.bytes, sha256=self._hash.hexdigest())
        text = msgspec.json.format(msgspec.json.encode(told)) + b"\n"
        with _told(self._path):
            self._file.write(_padding(self.bytes))
            self._file.write(_head(_MANIFEST, len(text)) + text + _padding(len(text)))
            self._file.write(bytes(2 * tarfile.BLOCKSIZE))
            self._file.seek(0)
            self._file.write(_head(_DUMP, self.bytes))
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._partial.rename(self._path)
            _sync(self._path.parent)
        return told

    def discard(self) -> None:
        """Leave nothing, unless it is whole."""
        with suppress(OSError):
            self._file.close()
        self._partial.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[Writing]:
    """A backup to be written to a file that does not exist yet.

    Raises:
        CannotWrite: it exists, or the disk is full or will not have it.
    """
    try:
        if path.exists():
            raise CannotWrite(f"{path} exists, and a backup is never overwritten: give another name")
        one = Writing(path)
    except OSError as error:
        raise CannotWrite(f"{path} cannot be written ({error.strerror})") from None
    try:
        yield one
    finally:
        one.discard()


class Backup:
    """A whole backup, open for reading."""

    def __init__(self, path: Path, file: io.BufferedReader) -> None:
        """Read the manifest.

        Raises:
            NotWhole: there is none, or it does not fit.
        """
        self._path = path
        self._file = file
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                members = tar.getmembers()
                if [member.name for member in members] != [_DUMP, _MANIFEST]:
                    raise NotWhole(f"{path} is not a whole backup: it ends before its manifest, or is none")
                dump, about = members
                text = b"" if about.size > _MOST_MANIFEST_BYTES else tar.extractfile(about).read()  # type: ignore[union-attr]  # both are files
            self.manifest = msgspec.json.decode(text, type=Manifest)
        except (tarfile.TarError, msgspec.MsgspecError, EOFError, UnicodeDecodeError):
            raise NotWhole(f"{path} is not a whole backup: it is none, or was cut off or changed") from None
        if self.manifest.format != _FORMAT:
            raise NotWhole(f"{path} was made by a version with another format of backups")
        if self.manifest.bytes != dump.size:
            raise NotWhole(f"{path} is not a whole backup: it has another length than its manifest says")
        self._begins = dump.offset_data

    def pieces(self) -> Iterator[bytes]:
        """PostgreSQL's archive."""
        self._file.seek(self._begins)
        left = self.manifest.bytes
        while left and (piece := self._file.read(min(left, _PIECE_BYTES))):
            left -= len(piece)
            yield piece

    def verify(self) -> Iterator[int]:
        """Read it to its end; the bytes of each step.

        Raises:
            NotWhole: it is not what was written.
        """
        found = hashlib.sha256()
        for piece in self.pieces():
            found.update(piece)
            yield len(piece)
        if found.hexdigest() != self.manifest.sha256:
            raise NotWhole(f"{self._path} is damaged: its content is not what was written")


@contextmanager
def reading(path: Path) -> Iterator[Backup]:
    """A backup.

    Raises:
        NotWhole: it is none, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            yield Backup(path, file)
    except OSError as error:
        raise NotWhole(f"{path} cannot be read ({error.strerror})") from None


def now() -> datetime:
    """This moment, in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CannotWrite(f"{path} was not written ({error.strerror})") from None


def _head(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, _MODE, int(now().timestamp())
    return member.tobuf(tarfile.GNU_FORMAT)  # one block, whatever the size


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
