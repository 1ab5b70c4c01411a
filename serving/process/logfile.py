"""The log file of one child: JSON lines, bounded, one old one kept."""

import contextlib
import logging
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path

from serving.process.lines import described, written


class LogFile:
    """Lines of one child, in at most twice `max_bytes`."""

    def __init__(self, path: Path, max_bytes: int, *, echo: bool = False) -> None:
        """The file's name is the part's. With `echo` the lines go to standard error as well."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = path
        self._echo = echo
        self._handler = RotatingFileHandler(path, maxBytes=max_bytes, backupCount=1, encoding="utf-8")

    def write(self, line: str) -> None:
        text = written(described(self.path.stem, line))
        self._handler.emit(logging.makeLogRecord({"msg": text}))
        if self._echo:
            with contextlib.suppress(
                OSError
            ):  # nobody reads there any more; the child must not wait for that
                print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        self._handler.close()
