"""Logs: one JSON object a line on standard error. Never a prompt, an answer or a key."""

import json
import logging
import sys

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from adapters.observability import requests

_encoder = msgspec.json.Encoder(enc_hook=str)


def configure(level: int = logging.INFO, *, service: str = "zephyr") -> None:
    """Send our events and the libraries' out as lines of one kind, with the name of the part that writes them.

    Ours do not pass through Python's `logging`, which takes five times as long for each.
    """

    def describe(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["service"] = service
        request = requests.current()
        if request is not None:
            event.setdefault("request_id", request.name)
            if request.trace is not None and request.trace.recorded:
                event["trace_id"] = request.trace.id
        return event

    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        describe,
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, _line],
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _text_line],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


def _line(_: WrappedLogger, __: str, event: EventDict) -> bytes:
    """The line, in ASCII: what is no letter to a terminal, or turns its text around, is written as an escape."""
    try:
        line = _encoder.encode(event)
    except UnicodeEncodeError:  # half a surrogate pair
        line = b"\xff"
    return line if line.isascii() and b"\x7f" not in line else _escaped(event).encode()


def _text_line(logger: WrappedLogger, name: str, event: EventDict) -> str:
    return _line(logger, name, event).decode()


def _escaped(event: EventDict) -> str:
    return json.dumps(event, default=str).replace("\x7f", "\\u007f")
