"""What `docs/scaling.md` quotes is what `zephyr plan` says."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from serving.cli import app

PAGE = (Path(__file__).parents[4] / "docs" / "scaling.md").read_text()
QUOTED = re.findall(r"^```console\n\$ zephyr (plan [^\n]*)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_page_quotes_every_way() -> None:
    """One engine and several, one GPU and two for an engine, users and requests a second."""
    text = "".join(output for _, output in QUOTED)
    assert len(QUOTED) == PAGE.count("```console") == 4
    for what in (
        "everything",
        "each engine",
        "--tensor-parallel-size",
        "--replicas",
        "requests/s,",
        "No bounds",
    ):
        assert what in text


@pytest.mark.parametrize(("arguments", "output"), QUOTED, ids=[arguments for arguments, _ in QUOTED])
def test_quoted_output_is_todays(arguments: str, output: str) -> None:
    """To the letter."""
    assert CliRunner().invoke(app, shlex.split(arguments)).stdout == output


def test_figures_beside_it_are_the_plans() -> None:
    """Those that the text repeats."""
    assert "7,241,732,096 parameters x 2 bytes = 14.5 GB (13.5 GiB)" in PAGE
    assert 7_241_732_096 * 2 == 14_483_464_192
    assert 2 * 32 * 8 * 128 * 2 == 131_072
    assert round(-(-1300 // 16) * 16 * 131_072 / 1e6) == 172
    assert round(100 * 256 * 32.8e-6, 1) == 0.8  # "about one core"
