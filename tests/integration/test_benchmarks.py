"""The benchmarks run: the figures of docs/performance.md can be taken again at any time."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.gateway import check_log
from benchmarks.measures import Figures

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, list[Figures]]]:
    """What one quick run of the gateway's benchmark printed, and its figures."""
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler: the null engine and the load client are in C")
    figures = tmp_path_factory.mktemp("benchmark") / "figures.json"
    command = [sys.executable, "-m", "benchmarks.gateway", "--quick", "--json", str(figures)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    rounds = json.loads(figures.read_text())
    return done.stdout, {name: [Figures(**one) for one in ones] for name, ones in rounds.items()}


def test_every_figure_of_the_gateway_is_measured(quick_run: tuple[str, dict[str, list[Figures]]]) -> None:
    """A figure that cannot be taken any more is missing here before it is missed in the table."""
    (ours,) = quick_run[1]["ours"]
    missing = {name for name, value in vars(ours).items() if value is None}
    assert missing == set()
    assert ours.errors == 0
    assert ours.answers > 0


def test_the_engine_alone_is_measured_too(quick_run: tuple[str, dict[str, list[Figures]]]) -> None:
    """What a relay adds is measured against the engine without one."""
    (direct,) = quick_run[1]["direct"]
    assert direct.errors == 0
    assert direct.first_p50_us is not None
    assert direct.plain_us is None, "the engine's own cost is no relay's"


def test_the_goals_are_shown(quick_run: tuple[str, dict[str, list[Figures]]]) -> None:
    """Each goal says whether it is reached, and what was not measured says so."""
    printed = quick_run[0]
    assert "| CPU per plain request, to vllm-router | - | 1.00x | not measured |" in printed
    assert printed.count("reached") >= 4


def test_a_run_that_missed_the_asked_rate_does_not_count() -> None:
    """A starved relay reads many events at once, and looks cheaper than it is."""
    starved = Figures(chunk_us=1.0, chunk_rate_met=False)
    medians = report.medians([starved, Figures(chunk_us=5.0), Figures(chunk_us=7.0)], [])
    assert (medians.chunk_us, medians.chunk_starved) == (6.0, False)
    assert report.medians([starved], []).chunk_starved


def test_an_answer_that_is_not_in_the_log_fails_the_run() -> None:
    """A relay that is fast and loses a record is worth nothing."""
    check_log(got=3, logged=3)
    with pytest.raises(RuntimeError, match="3 whole answers, and 2 are in the log"):
        check_log(got=3, logged=2)
