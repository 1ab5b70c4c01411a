"""What the parts have logged, put together."""

import json
from pathlib import Path

import pytest

from serving import journal
from serving.errors import CannotRun
from serving.settings import Settings


def kept(home: Path, name: str, *records: object) -> None:
    (home / "logs").mkdir(exist_ok=True)
    lines = [one if isinstance(one, str) else json.dumps(one) for one in records]
    (home / "logs" / name).write_text("".join(f"{line}\n" for line in lines))


def told(home: Path, request: str = "") -> list[str]:
    settings = Settings(home=home)  # type: ignore[call-arg]  # the rest has defaults
    return [json.loads(line)["event"] for line in journal.lines(settings, request)]


def line(time: int, event: str, **fields: str) -> dict[str, str]:
    return {"timestamp": f"2026-11-29T16:44:{time:02}Z", "event": event} | fields


def test_the_lines_of_all_parts_are_in_the_order_of_time(tmp_path: Path) -> None:
    """Those of the file before this one too; what is none of them is left out."""
    kept(tmp_path, "gateway.log", line(4, "d"), "a line of an older version", [1], {"event": "without time"})
    kept(tmp_path, "gateway.log.1", line(1, "a"))
    kept(tmp_path, "engine.log", line(2, "b"), line(3, "c"))
    assert told(tmp_path) == ["a", "b", "c", "d"]


def test_a_request_is_followed_with_its_generations(tmp_path: Path) -> None:
    """Those that went to the engine under ids of their own, and no other request's."""
    kept(
        tmp_path,
        "gateway.log",
        line(3, "made", request_id="ab", generation="cd"),
        line(4, "ended", request_id="ab"),
        line(5, "other", request_id="ef", generation="01"),
    )
    kept(tmp_path, "engine.log", line(2, "asked", request_id="cd"), line(2, "not mine", request_id="01"))
    assert told(tmp_path, "AB") == ["asked", "made", "ended"]
    assert told(tmp_path, "a-b") == told(tmp_path, "ab")
    for id in ("chatcmpl-ab", "cmpl-ab", "resp_ab"):
        assert told(tmp_path, id) == told(tmp_path, "ab")
    with pytest.raises(CannotRun, match="about nobody"):
        told(tmp_path, "nobody")


def test_a_home_without_logs_is_told(tmp_path: Path) -> None:
    """Most likely it is another's."""
    with pytest.raises(CannotRun, match="ZEPHYR_HOME"):
        told(tmp_path)
