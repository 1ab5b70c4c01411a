"""OpenAI's own Node SDK, unmodified, against the stateful API."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.conftest import NewGateway
from tests.acceptance.gateway import Gateway, chat, read_until
from tests.fakes.engine import Script, ScriptedEngine

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


def test_node_sdk_passes_over_what_a_stream_that_waits_is_told(
    new_gateway: NewGateway, engine: ScriptedEngine, project: Path
) -> None:
    """Comments are no events to it."""
    places = {"ZEPHYR_ENGINE_CONCURRENCY": "1", "ZEPHYR_ENGINE_SPARE": "0"}
    with new_gateway(ZEPHYR_PLACE_TOLD_AFTER="0.1", **places) as gateway, ThreadPoolExecutor() as threads:
        engine.scripts = {"the first": Script(stop_after=3, ending="hang")}
        one = gateway.send(chat("the first", stream=True))
        read_until(one, b"Hello")
        said = threads.submit(run, project, NODE, "waiting.mjs", gateway.url)
        while not somebody_waits(gateway):
            assert not said.done(), said.result()
        one.close()
        assert said.result().splitlines() == ["chat Hello, world.", "response Hello, world."]


def somebody_waits(gateway: Gateway) -> bool:
    """Whether another request that comes now is the second in the queue."""
    with closing(gateway.send(chat("behind", stream=True))) as behind:
        return b"place 2" in read_until(behind, b"\n\n\r\n")
