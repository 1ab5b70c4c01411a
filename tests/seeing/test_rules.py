"""Rules and alerts: what they ask for is there, they fire when they should, and each has a page to read."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.architecture.test_documents import anchors
from tests.seeing.pages import Figures
from tests.seeing.promql import Matcher, asked
from tests.seeing.test_metrics import codes

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
OPERATIONS = ROOT / "docs" / "operations.md"
SEVERITIES = {"page", "ticket"}
promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool here; Debian's package `prometheus` has it"
)

Rule = dict[str, Any]


def rules(file: str) -> list[Rule]:
    (group,) = YAML(typ="safe").load(FOLDER / file)["groups"]
    found: list[Rule] = group["rules"]
    return found


def recorded() -> set[str]:
    return {rule["record"] for rule in rules("recording.yml")}


def missing(expression: str, captured: Figures) -> list[str]:
    """What an expression asks for that nothing tells: names, labels, values of labels."""
    wanted = asked(expression)
    told = wanted.metrics & set(captured.series)
    unknown = [*(wanted.metrics - told - recorded())]
    unknown += [str(one) for one in wanted.matchers if one.metric in told and not may_match(one, captured)]
    labels = {label for name in told for label in captured.labels(name)}
    return [*unknown, *(wanted.groups - labels)]


def may_match(one: Matcher, captured: Figures) -> bool:
    """Whether some series of this metric can have such a value."""
    if one.label not in captured.labels(one.metric):
        return False
    if one.label == "job":
        return any(one.takes(job) for job in jobs())
    if one.label == "code":
        return any(one.takes(code) for code in codes())
    seen = [labels[one.label] for labels in captured.series[one.metric] if one.label in labels]
    return not any(seen) or any(one.takes(value) for value in seen)


def jobs() -> set[str]:
    """The names of Prometheus' jobs: those of the example, and of what is commented out in it."""
    return set(re.findall(r"job_name: (\S+)", (FOLDER / "prometheus.yml").read_text()))


@pytest.mark.parametrize("file", ["recording.yml", "alerts.yml"])
def test_rules_ask_for_what_is_told(file: str, captured: Figures) -> None:
    """Every name, label and value in them is one that a real page has, or another rule records."""
    for rule in rules(file):
        assert not missing(rule["expr"], captured), rule


def test_what_is_not_told_is_noticed(captured: Figures) -> None:
    """The test above can fail: a misspelt name, label or value is found."""
    for wrong in (
        "zephyr_engine_redy == 0",
        "sum by (tenant) (zephyr_exchanges_total)",
        'zephyr_exchanges_total{outcome="complete"}',
        'zephyr_first_token_seconds_bucket{le="4.0"}',
        'zephyr_errors_total{code="log_away"}',
        'zephyr_gpu_power_watts{job="gateway"}',
        "vllm:gpu_cache_usage_perc",
        "zephyr:answers:rate1m",
    ):
        assert missing(wrong, captured), wrong


def test_every_alert_says_how_urgent_it_is_and_where_to_read_on() -> None:
    """Its section in the documentation is its own."""
    for alert in rules("alerts.yml"):
        assert alert["labels"]["severity"] in SEVERITIES
        assert alert["annotations"]["runbook"] == f"docs/operations.md#{alert['alert'].lower()}"
        assert alert["annotations"]["summary"].endswith(".")


def test_every_alert_has_a_section_and_every_section_an_alert() -> None:
    alerts = {alert["alert"] for alert in rules("alerts.yml")}
    sections = set(re.findall(r"^### (Zephyr\w+)$", OPERATIONS.read_text(), re.MULTILINE))
    assert sections == alerts
    assert {name.lower() for name in alerts} <= anchors(OPERATIONS)


def test_every_figure_is_in_the_table(captured: Figures) -> None:
    """And nothing is in it that is not told."""
    listed = set(re.findall(r"`((?:zephyr|process)_\w+)`", _table()))
    told = {
        re.sub(r"_(bucket|count|sum)$", "", name) for name in captured.series if name.startswith("zephyr_")
    }
    assert {name for name in listed if name.startswith("zephyr_")} == told
    assert {name for name in listed if name.startswith("process_")} <= set(captured.series)


def _table() -> str:
    return OPERATIONS.read_text().split("| figure | what |", 1)[1].split("## Alerts", 1)[0]


def test_every_section_says_what_is_to_be_done_about_it() -> None:
    """What it means, what was seen when it was caused, and what to do."""
    sections = re.split(r"^### ", OPERATIONS.read_text(), flags=re.MULTILINE)[1:]
    for section in sections:
        if section.startswith("Zephyr"):
            for part in ("**Means.**", "**Do.**", "**Seen.**"):
                assert section.count(part) == 1, section.splitlines()[0]


def test_every_alert_is_tried_by_promtools_own_tests() -> None:
    """Once where it fires, with its words, and once where it does not."""
    tried: dict[str, set[bool]] = {}
    for test in YAML(typ="safe").load(FOLDER / "tests.yml")["tests"]:
        for one in test.get("alert_rule_test", []):
            tried.setdefault(one["alertname"], set()).add("exp_alerts" in one)
    assert tried == {alert["alert"]: {True, False} for alert in rules("alerts.yml")}


@promtool
def test_alerts_fire_when_they_should_and_at_no_other_time() -> None:
    for arguments in (("check", "config", "prometheus.yml"), ("test", "rules", "tests.yml")):
        done = subprocess.run(["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
