"""The dashboard's panels and what they ask Prometheus."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[2] / "deploy" / "grafana" / "zephyr.json"


def board() -> dict[str, Any]:
    """All of it."""
    content: dict[str, Any] = json.loads(FILE.read_text())
    return content


def panels() -> list[dict[str, Any]]:
    """What shows something."""
    return [panel for panel in board()["panels"] if panel["type"] != "row"]


def queries(interval: str = "5m") -> Iterator[tuple[str, str]]:
    """The title of each panel with each of its queries, over such an interval."""
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", interval)
