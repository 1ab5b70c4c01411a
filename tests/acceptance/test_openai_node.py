"""OpenAI's own Node SDK, unmodified, against the stateful API."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.gateway import Gateway
from tests.fakes.engine import ScriptedEngine

_PROJECT = Path(__file__).parent / "node"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script beside the SDK of the lock file, in a folder of its own."""
    folder = tmp_path_factory.mktemp("node") / "project"
    shutil.copytree(_PROJECT, folder, ignore=shutil.ignore_patterns("node_modules"))
    run(folder, "npm", "ci", "--omit=optional", "--no-audit", "--no-fund")
    return folder


def run(folder: Path, program: str, *arguments: str) -> str:
    command = [str(Path(sys.executable).parent / program), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_node_sdk_finds_everything_where_it_looks(
    gateway: Gateway, engine: ScriptedEngine, project: Path
) -> None:
    """Stored completions, responses, streams, background, conversations, errors."""
    said = run(project, "node", "stateful.mjs", gateway.url)
    assert said.count("ok ") == 6
