"""OpenAI's Node SDK of the lock file, where npm reaches a registry."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_PROJECT = Path(__file__).parent / "node"
NODE, NPM = (str(Path(sys.executable).parent / program) for program in ("node", "npm"))
_PING_SECONDS = 15


@pytest.fixture(scope="session")
def node_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts beside the SDK, in a folder of its own."""
    if not _reaches_a_registry():
        pytest.skip("npm reaches no registry on this machine, so that there is no Node SDK to test with")
    folder = tmp_path_factory.mktemp("node") / "project"
    shutil.copytree(_PROJECT, folder, ignore=shutil.ignore_patterns("node_modules"))
    install = [NPM, "ci", "--omit=optional", "--no-audit", "--no-fund"]
    done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def _reaches_a_registry() -> bool:
    try:
        ping = subprocess.run([NPM, "ping"], capture_output=True, timeout=_PING_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    return ping.returncode == 0
