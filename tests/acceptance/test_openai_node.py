"""OpenAI's own Node SDK, unmodified, against the stateful API."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.gateway import Gateway
from tests.fakes.engine import ScriptedEngine

_PROJECT = Path(__file__).parent / "node"
NODE, NPM = (str(Path(sys.executable).parent / program) for program in ("node", "npm"))
_PING_SECONDS = 15


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script beside the SDK of the lock file, in a folder of its own."""
    if not reaches_a_registry():
        pytest.skip("npm reaches no registry on this machine, so that there is no Node SDK to test with")
    folder = tmp_path_factory.mktemp("node") / "project"
    shutil.copytree(_PROJECT, folder, ignore=shutil.ignore_patterns("node_modules"))
    run(folder, NPM, "ci", "--omit=optional", "--no-audit", "--no-fund")
    return folder


def reaches_a_registry() -> bool:
    try:
        ping = subprocess.run([NPM, "ping"], capture_output=True, timeout=_PING_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    return ping.returncode == 0


def run(folder: Path, program: str, *arguments: str) -> str:
    done = subprocess.run(
        [program, *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_node_sdk_finds_everything_where_it_looks(
    gateway: Gateway, engine: ScriptedEngine, project: Path
) -> None:
    """Stored completions, responses, streams, background, conversations, errors."""
    said = run(project, NODE, "stateful.mjs", gateway.url)
    assert said.count("ok ") == 6
