"""The programs of `examples/`, as they stand there, at a gateway that needs no keys and at one that does."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.gateway import ROOT, Gateway
from tests.acceptance.keys import Holder
from tests.acceptance.node_sdk import NODE
from tests.fakes.engine import ScriptedEngine

EXAMPLES = ROOT / "examples"
HELLO = "Hello, world."
STATISTICS = r"(\d+ running; \[.*\]\n){3}"
PRINTED = {
    "curl.sh": rf'(?s)\{{.*{HELLO}.*data: \[DONE\]\s+\{{"object":"list".*{HELLO}.*',
    "langchain_chain.py": f"{HELLO}\n",
    "openai_responses.py": f"{HELLO}\n{HELLO}\n",
    "openai_retry.py": f"first: {HELLO}\nagain: {HELLO}\n",
    "openai_stored.py": rf"chatcmpl-\S+ {HELLO}\ndeleted: True\n",
    "openai_stream.mjs": f"{HELLO}\n",
    "openai_stream.py": f"{HELLO}\n",
    "websocket.mjs": STATISTICS,
    "websocket.py": STATISTICS,
}
NEED_THE_SDK = {"openai_stream.mjs"}


def test_every_example_is_run_and_listed() -> None:
    programs = {file.name for file in EXAMPLES.iterdir() if file.suffix in (".py", ".mjs", ".sh")}
    assert programs == set(PRINTED)
    assert programs == set(re.findall(r"\]\(([\w.]+)\)", (EXAMPLES / "README.md").read_text()))


@pytest.fixture(params=sorted(PRINTED))
def example(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """One program, where what it needs lies beside it."""
    name = str(request.param)
    if name == "langchain_chain.py" and importlib.util.find_spec("langchain_openai") is None:
        pytest.skip("langchain-openai is not installed: pip install langchain-openai")
    if name == "curl.sh" and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    if name not in NEED_THE_SDK:
        return EXAMPLES / name
    project: Path = request.getfixturevalue("node_project")
    return Path(shutil.copy(EXAMPLES / name, project))


def test_example_works(example: Path, gateway: Gateway, engine: ScriptedEngine) -> None:
    said = printed(example, ZEPHYR_URL=gateway.url)
    assert re.fullmatch(PRINTED[example.name], said), said
    if example.name == "openai_retry.py":
        assert len(engine.seen) == 1


def test_example_sends_its_key(example: Path, admin: Holder, engine: ScriptedEngine) -> None:
    key = admin.gives("examples").key
    said = printed(example, ZEPHYR_URL=admin.gateway.url, ZEPHYR_KEY=key)
    assert re.fullmatch(PRINTED[example.name], said), said


@pytest.mark.parametrize("name", sorted(set(PRINTED) - NEED_THE_SDK - {"langchain_chain.py"}))
def test_example_fails_where_its_key_is_wrong(name: str, admin: Holder, engine: ScriptedEngine) -> None:
    done = run(EXAMPLES / name, ZEPHYR_URL=admin.gateway.url, ZEPHYR_KEY="sk-zephyr-wrong")
    assert done.returncode != 0
    assert not engine.seen


def printed(program: Path, **environment: str) -> str:
    done = run(program, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run(program: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    runner = {".py": sys.executable, ".mjs": NODE, ".sh": "/bin/sh"}[program.suffix]
    return subprocess.run(
        [runner, program],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
