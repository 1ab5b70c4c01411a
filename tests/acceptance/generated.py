"""Requests, good and bad, that Schemathesis makes from our own OpenAPI document."""

import os
import subprocess
import sys
from pathlib import Path

from tests.acceptance.gateway import ROOT

_CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "unsupported_method"
)
DOORS = {
    # The /zephyr endpoints read "0" and 0 as false and drop members they do not know, as the original did.
    "zephyr": ("--include-path-regex", _CHECKS),
    "others": ("--exclude-path-regex", _CHECKS + ",negative_data_rejection"),
}
"""What is asked of each, by the name of the door."""


def send(
    url: str,
    door: str,
    folder: Path,
    *,
    examples: int,
    seed: int = 1,
    timeout: float = 120.0,
    phases: str = "",
) -> "subprocess.CompletedProcess[str]":
    """Send up to so many of each kind to each operation of a door; how that ended and what it said."""
    where, checks = DOORS[door]
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", url + "/openapi.json"]
    command += [where, "^/zephyr/", "--checks", checks, "--phases", phases or "examples,coverage,fuzzing"]
    command += ["--max-examples", str(examples), "--seed", str(seed), "--continue-on-failure", "--no-color"]
    command += ["--generation-database", "none"]
    hooks = {"SCHEMATHESIS_HOOKS": "tests.acceptance.schemathesis_hooks", "PYTHONPATH": str(ROOT)}
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)} | hooks
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )
