"""The lines that the parts of this machine have logged, in the order of time."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from serving.errors import CannotRun
from serving.settings import Settings


def lines(settings: Settings, request: str = "") -> list[str]:
    """All lines that are kept, or those about one request and the generations that were made for it.

    Raises:
        CannotRun: nothing was logged here, or nothing of this request.
    """
    files = sorted(settings.logs.glob("*.log*"))
    if not files:
        raise CannotRun(f"there are no logs in {settings.logs}. Is ZEPHYR_HOME the one that it runs with?")
    found = sorted(
        (record for file in files for record in _records(file)), key=lambda one: str(one["timestamp"])
    )
    if request:
        about = _ids(found, _plain(request))
        found = [one for one in found if one.get("request_id") in about]
        if not found:
            raise CannotRun(
                f"nothing in {settings.logs} is about {request}: it is too old, or is in other logs"
            )
    return [json.dumps(one) for one in found]


def _plain(request: str) -> str:
    """The id as the logs have it. That of an answer (`chatcmpl-…`, `resp_…`) holds its request's."""
    return request.lower().replace("-", "").rpartition("_")[2].removeprefix("chatcmpl").removeprefix("cmpl")


def _ids(records: list[dict[str, Any]], request: str) -> set[str]:
    """The request's own id, and those of the generations that the gateway made for it under others."""
    made = {
        str(one["generation"]) for one in records if one.get("request_id") == request and "generation" in one
    }
    return {request} | made


def _records(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as text:
        for line in text:
            try:
                record = json.loads(line)
            except ValueError:  # of an older version
                continue
            if isinstance(record, dict) and "timestamp" in record:
                yield record
