"""Whatever is sent to the documented addresses, the gateway answers as it documents, and never fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.gateway import ROOT, Gateway
from tests.fakes.engine import ScriptedEngine

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "unsupported_method"
)


@pytest.mark.parametrize(
    ("where", "checks"),
    [
        # The /zephyr endpoints read "0" and 0 as false and drop members they do not know, as the original did.
        ("--include-path-regex", CHECKS),
        ("--exclude-path-regex", CHECKS + ",negative_data_rejection"),
    ],
    ids=["zephyr", "others"],
)
def test_documented_api_holds(
    gateway: Gateway, engine: ScriptedEngine, tmp_path: Path, where: str, checks: str
) -> None:
    """Schemathesis makes good and bad requests from our own OpenAPI document; none is a surprise."""
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", gateway.url + "/openapi.json"]
    command += [where, "^/zephyr/", "--checks", checks, "--phases", "examples,coverage,fuzzing"]
    command += ["--max-examples", "30", "--seed", "1", "--continue-on-failure", "--no-color"]
    command += ["--generation-database", "none"]
    hooks = {"SCHEMATHESIS_HOOKS": "tests.acceptance.schemathesis_hooks", "PYTHONPATH": str(ROOT)}
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)} | hooks
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    assert engine.seen, "no generated request was good enough for the engine"
