"""The README's examples, run as they stand there, and its table of endpoints."""

import json
import re
import shutil
import subprocess
import sys

import pytest

from tests.acceptance.gateway import ROOT, Gateway
from tests.fakes.engine import ScriptedEngine

README = (ROOT / "README.md").read_text()
ADDRESS = "localhost:8000"
STRICT_CURL = 'curl() { command curl --fail-with-body --silent --show-error "$@"; }\n'
NOT_IN_THE_DESCRIPTION = {"WS /zephyr/ws/gpu-stats", "GET /", "GET /chat"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


CURL = [block for block in blocks("sh") if "curl " in block]
PYTHON = blocks("python")


def test_readme_has_examples_for_each_door() -> None:
    """Nothing below is empty by accident."""
    examples = "".join([*CURL, *PYTHON])
    for what in ("/v1/chat/completions", "OpenAI(", "/zephyr/python", "ws://", "/log/exchanges"):
        assert what in examples
    assert all(ADDRESS in example for example in [*CURL, *PYTHON])


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("example", CURL)
def test_example_with_curl_works(example: str, gateway: Gateway, engine: ScriptedEngine) -> None:
    """No call is refused, and each says something in JSON."""
    printed = output(["/bin/sh", "-ec", STRICT_CURL + example.replace(ADDRESS, address(gateway))])
    lines = [json.loads(line) for line in printed.splitlines() if line]
    assert lines
    if "/log/" not in example:
        assert all("Hello, world." in json.dumps(line) for line in lines)


@pytest.mark.parametrize("example", PYTHON)
def test_example_in_python_works(example: str, gateway: Gateway, engine: ScriptedEngine) -> None:
    """It runs to its end and prints the answer, or the statistics."""
    printed = output([sys.executable, "-c", example.replace(ADDRESS, address(gateway))])
    assert ("engine" in json.loads(printed)) if "ws://" in example else ("Hello, world." in printed)


def test_table_of_endpoints_is_whole(gateway: Gateway) -> None:
    """Every endpoint of the API's own description is in the table, and no other."""
    described = {
        f"{method.upper()} {path}"
        for path, methods in gateway.get("/openapi.json").json["paths"].items()
        for method in methods
    }
    listed = set(re.findall(r"^\| `((?:GET|POST|PUT|DELETE|WS) \S+)` \|", README, re.MULTILINE))
    assert described - NOT_IN_THE_DESCRIPTION == listed - NOT_IN_THE_DESCRIPTION
    assert listed >= NOT_IN_THE_DESCRIPTION
    assert gateway.get("/").status == 200


def address(gateway: Gateway) -> str:
    return gateway.url.removeprefix("http://")


def output(command: list[str]) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
