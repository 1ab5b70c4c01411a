"""The logs of `zephyr up`: one JSON object a line, whoever wrote it, and one request followed through all of them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from serving.readiness import ask
from tests.integration.serving.test_up import fake_engine, home, ups  # noqa: F401  # fixtures
from tests.integration.serving.up import Up

FIELDS = {"timestamp", "level", "service", "event"}
SECRET = "the lighthouse is mine"


def test_a_request_is_followed_through_every_process(
    home: Path,  # noqa: F811
    fake_engine: dict[str, str],  # noqa: F811
    ups: list[Up],  # noqa: F811
) -> None:
    """By `zephyr logs`, and among what the host writes itself; what was said is nowhere."""
    (home / "behaviour").write_text("right")
    up = Up(home, ZEPHYR_LOG_FORMAT="json", **fake_engine)
    ups.append(up)
    up.until("/readyz", 200)
    question = {"model": "zephyr-7b-beta", "messages": [{"role": "user", "content": SECRET}], "max_tokens": 1}
    answer = ask(up.url, "/v1/chat/completions", question, timeout=10)
    assert answer.status == 200
    up.process.send_signal(signal.SIGINT)
    output = up.wait()
    said = [record(line) for line in output.splitlines()]
    assert {one["service"] for one in said} >= {"host", "postgres", "gateway", "engine"}
    kept = followed(home)
    assert {one["service"] for one in kept} >= {"postgres", "gateway", "engine"}
    (request,) = [one for one in kept if one.get("event_key") == "request"]
    about = followed(home, "--request", request["request_id"])
    assert [one["service"] for one in about] == ["engine", "gateway"]
    assert about[0]["event_key"] == "engine_request"
    assert (about[1]["status"], about[1]["outcome"]) == (200, "length")
    texts = [output, *(file.read_text() for file in (home / "logs").iterdir())]
    assert not any(SECRET in text for text in texts)


def record(line: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(line)
    assert loaded.keys() >= FIELDS, line
    return loaded


def followed(home: Path, *options: str) -> list[dict[str, Any]]:  # noqa: F811
    """What `zephyr logs` prints."""
    command = [sys.executable, "-m", "zephyr", "logs", *options]
    done = subprocess.run(
        command, env=os.environ | {"ZEPHYR_HOME": str(home)}, capture_output=True, text=True, check=True
    )
    return [record(line) for line in done.stdout.splitlines()]
