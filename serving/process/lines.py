"""What a part prints, as one JSON object a line: the fields that the gateway's own lines have."""

import json
import re
from datetime import UTC, datetime
from typing import Any

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_VLLM = re.compile(
    r"\((?P<process>\w+) pid=(?P<pid>\d+)\) (?P<level>[A-Z]+) \d\d-\d\d [\d:]+ \[(?P<source>[^\]]*)\] ?(?P<event>.*)"
)
_POSTGRES = re.compile(r"\d{4}-\d\d-\d\d [\d:.]+ \S+ \[(?P<pid>\d+)\] (?P<level>[A-Z]+\d?):\s+(?P<event>.*)")
_UVICORN = re.compile(
    r"(?:\((?P<process>\w+) pid=(?P<pid>\d+)\) )?(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL):?\s+(?P<event>.*)"
)
_PROCESS = re.compile(r"^\(\w+ pid=\d+\) (?=\{)")
_BRACKETED = re.compile(r"\((?P<process>\w+) pid=(?P<pid>\d+)\) (?P<event>.*)")
_SHAPES = (_VLLM, _POSTGRES, _UVICORN, _BRACKETED)
_LEVELS = {"log": "info", "fatal": "critical", "panic": "critical", "notice": "info"}
_REQUEST = re.compile(r"\b(?:chat)?cmpl-([0-9a-f]{32})")  # how vLLM calls a request by the id that it is sent


def described(service: str, line: str) -> dict[str, Any]:
    """One line of a part. One that is such an object already keeps its fields; of another what can be told is told."""
    own = _object(_PROCESS.sub("", line))
    if own is not None:
        return {"timestamp": _now(), "level": "info", "service": service} | own
    text = _ANSI.sub("", line)
    found = next(
        (match.groupdict() for shape in _SHAPES if (match := shape.fullmatch(text))), {"event": text}
    )
    level = (found.pop("level", None) or "info").lower()
    record: dict[str, Any] = {"timestamp": _now(), "level": _LEVELS.get(level, level), "service": service}
    record |= {name: value for name, value in found.items() if value is not None}
    if request := _REQUEST.search(text):
        record["request_id"] = request[1]
    return record


def written(record: dict[str, Any]) -> str:
    """The line, in ASCII, so that nothing in it moves a terminal's cursor or turns its text around."""
    return json.dumps(record).replace("\x7f", "\\u007f")


def event(service: str, level: str, text: str, **fields: str) -> str:
    """A line of our own."""
    record = {"timestamp": _now(), "level": level, "service": service, "event": text}
    return written(record | fields)


def _object(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and isinstance(value.get("event"), str) else None


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
