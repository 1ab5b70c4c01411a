"""The dashboard: no panel asks for what is not there, and none covers another."""

import itertools
import re
import subprocess
from pathlib import Path

from tests.seeing.dashboard import board, panels, queries
from tests.seeing.pages import Figures
from tests.seeing.promql import asked
from tests.seeing.test_rules import missing, promtool, recorded

LABELS_OF_RECORDED = {"zephyr:event_loop_lag_seconds:p99_rate5m": {"instance"}}


def test_every_panel_asks_for_what_is_told(captured: Figures) -> None:
    """By names, labels and values that a real page has, or a rule records."""
    assert len(list(queries())) >= len(panels())
    for title, expression in queries():
        assert not missing(expression, captured), title


def test_legends_name_labels_that_the_answer_has(captured: Figures) -> None:
    """A label that is summed away would show as nothing."""
    for panel in panels():
        for target in panel["targets"]:
            wanted = asked(target["expr"].replace("$__rate_interval", "5m"))
            grouped = wanted.groups - {"le"}
            of_metrics = [
                LABELS_OF_RECORDED.get(name, set()) if name in recorded() else captured.labels(name)
                for name in wanted.metrics
            ]
            summed = "sum(" in target["expr"] or "sum by" in target["expr"]
            there = grouped if summed else set.union(*of_metrics)
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                assert label in there or (label == "gpu" and "zephyr_gpu_" in target["expr"]), panel["title"]


def test_panels_have_names_of_their_own_and_do_not_cover_each_other() -> None:
    everything = board()["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    assert len({panel["title"] for panel in panels()}) >= len(panels()) - 2
    for one, other in itertools.combinations([panel["gridPos"] for panel in everything], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in everything)


def test_every_panel_takes_its_data_from_the_source_that_is_chosen() -> None:
    (source,) = board()["templating"]["list"]
    assert (source["name"], source["type"]) == ("datasource", "datasource")
    for panel in panels():
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["fieldConfig"]["defaults"]["unit"]


@promtool
def test_every_query_is_one(tmp_path: Path) -> None:
    """By Prometheus' own parser."""
    lines = ["groups:", "  - name: panels", "    rules:"]
    for number, (_, expression) in enumerate(queries()):
        lines += [f"      - record: panel:{number}", f"        expr: >-\n          {expression}"]
    (tmp_path / "panels.yml").write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        ["promtool", "check", "rules", "panels.yml"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(list(queries()))} rules found" in done.stdout
