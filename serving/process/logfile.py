"""The log file of one child: bounded, one old one kept."""

import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path


class LogFile:
    """Lines of one child, in at most twice `max_bytes`."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = path
        self._handler = RotatingFileHandler(path, maxBytes=max_bytes, backupCount=1, encoding="utf-8")

    def write(self, line: str) -> None:
        self._handler.emit(logging.makeLogRecord({"msg": line}))

    def close(self) -> None:
        self._handler.close()
