"""OpenAI's own Node SDK, unmodified, against the stateful API."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from tests.acceptance.conftest import NewGateway
from tests.acceptance.gateway import Gateway, chat, read_until
from tests.acceptance.node_sdk import NODE
from tests.fakes.engine import Script, ScriptedEngine


def run(folder: Path, program: str, *arguments: str) -> str:
    done = subprocess.run(
        [program, *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_node_sdk_finds_everything_where_it_looks(
    gateway: Gateway, engine: ScriptedEngine, node_project: Path
) -> None:
    """Stored completions, responses, streams, background, conversations, errors."""
    said = run(node_project, NODE, "stateful.mjs", gateway.url)
    assert said.count("ok ") == 6


def test_node_sdk_passes_over_what_a_stream_that_waits_is_told(
    new_gateway: NewGateway, engine: ScriptedEngine, node_project: Path
) -> None:
    """Comments are no events to it."""
    places = {"ZEPHYR_ENGINE_CONCURRENCY": "1", "ZEPHYR_ENGINE_SPARE": "0"}
    with new_gateway(ZEPHYR_PLACE_TOLD_AFTER="0.1", **places) as gateway, ThreadPoolExecutor() as threads:
        engine.scripts = {"the first": Script(stop_after=3, ending="hang")}
        one = gateway.send(chat("the first", stream=True))
        read_until(one, b"Hello")
        said = threads.submit(run, node_project, NODE, "waiting.mjs", gateway.url)
        while not somebody_waits(gateway):
            assert not said.done(), said.result()
        one.close()
        assert said.result().splitlines() == ["chat Hello, world.", "response Hello, world."]


def somebody_waits(gateway: Gateway) -> bool:
    """Whether another request that comes now is the second in the queue."""
    with closing(gateway.send(chat("behind", stream=True))) as behind:
        return b"place 2" in read_until(behind, b"\n\n\r\n")
