"""A real Prometheus with the real rules, in a hurry: minutes are seconds, so that each alert can be caused and seen."""

import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.acceptance.gateway import free_port

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"
_WINDOWS = {"5m": "10s", "10m": "15s", "30m": "60s", "1h": "60s", "6h": "90s"}
_HOLD = "2s"
_SMALLER = {"_unshipped_seconds > 300": "_unshipped_seconds > 5", "p95_rate5m > 10": "p95_rate5m > 1"}
"""What would take minutes to come to: these thresholds are lower here."""
_START_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Prometheus:
    """One that runs."""

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression gives now."""
        found: list[dict[str, Any]] = self._get("/api/v1/query?" + urlencode({"query": expression}))["result"]
        return found

    def value(self, expression: str) -> str:
        """The first of them in words, for a report."""
        found = self.query(expression)
        return found[0]["value"][1] if found else "nothing"

    def summaries(self, alert: str) -> list[str]:
        """What the alert says, where it fires."""
        alerts = self._get("/api/v1/alerts")["alerts"]
        return [
            one["annotations"]["summary"]
            for one in alerts
            if (one["labels"]["alertname"], one["state"]) == (alert, "firing")
        ]

    def wait_until_up(self) -> None:
        """Wait until the gateway has been read for the first time, and nothing is told of one that is down."""
        limit = time.monotonic() + _START_SECONDS
        while self.value('up{job="zephyr-gateway"}') != "1" or self.summaries("ZephyrGatewayDown"):
            if time.monotonic() > limit:
                raise TimeoutError("Prometheus does not reach the gateway")
            time.sleep(0.2)

    def seconds_until(self, alert: str, *, fires: bool, limit: float = 120.0) -> float:
        """How long it takes until an alert fires, or does so no more.

        Raises:
            TimeoutError: longer than `limit` seconds.
        """
        began = time.monotonic()
        while bool(self.summaries(alert)) != fires:
            if time.monotonic() - began > limit:
                raise TimeoutError(f"{alert} does {'not fire' if fires else 'not end'} within {limit:.0f} s")
            time.sleep(0.2)
        return time.monotonic() - began

    def _get(self, path: str) -> Any:
        with urlopen(self.url + path, timeout=10) as answer:  # our own
            return json.load(answer)["data"]


@contextmanager
def prometheus(gateway_port: int, router_port: int | None = None) -> Iterator[Prometheus]:
    """One that asks a gateway's second listener, for its engine too, and a router, every second."""
    program = shutil.which("prometheus")
    if program is None:
        raise SystemExit("There is no prometheus here; Debian's package of this name has it.")
    folder = Path(tempfile.mkdtemp(prefix="zephyr-prometheus-"))
    for name in ("recording.yml", "alerts.yml"):
        (folder / name).write_text(hurried((FOLDER / name).read_text()))
    targets = {"zephyr-gateway": (gateway_port, "/metrics"), "vllm": (gateway_port, "/engine/metrics")}
    if router_port is not None:
        targets["vllm-router"] = (router_port, "/metrics")
    jobs = [
        {
            "job_name": name,
            "metrics_path": path,
            "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
        }
        for name, (port, path) in targets.items()
    ]
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["recording.yml", "alerts.yml"],
        "scrape_configs": jobs,
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    port = free_port()
    process = subprocess.Popen(
        [
            program,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ]
    )
    try:
        _until_ready(f"http://127.0.0.1:{port}/-/ready")
        yield Prometheus(url=f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


def hurried(rules: str) -> str:
    """The same rules over shorter times."""
    rules = re.sub(r"\[(\w+)\]", lambda window: f"[{_WINDOWS[window[1]]}]", rules)
    rules = re.sub(r"for: \w+", f"for: {_HOLD}", rules)
    for threshold, smaller in _SMALLER.items():
        rules = rules.replace(threshold, smaller)
    return rules


def _until_ready(url: str) -> None:
    limit = time.monotonic() + _START_SECONDS
    while True:
        try:
            with urlopen(url, timeout=1):  # our own
                return
        except (URLError, OSError):
            if time.monotonic() > limit:
                raise
            time.sleep(0.1)
