"""The page's own checks: its types, its units, its lock."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.checkout import ROOT

PAGE = ROOT / "page"
NODE = Path(sys.executable).parent / "node"


def run(*arguments: str) -> None:
    done = subprocess.run(
        [NODE, *arguments], cwd=PAGE, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_types() -> None:
    compiler = PAGE / "node_modules" / "typescript" / "bin" / "tsc"
    if not compiler.is_file():
        pytest.skip("the page's packages are not there: setup/page.py fetches them from npm's registry")
    run(str(compiler), "--noEmit")


def test_units() -> None:
    run("--test", "test/*.test.ts")


def test_the_lock_names_every_package_by_its_hash_and_none_by_an_address() -> None:
    """Where packages come from is the machine's business."""
    packages = json.loads((PAGE / "package-lock.json").read_text())["packages"]
    locked = {name: package for name, package in packages.items() if name}
    assert len(locked) > 10
    for name, package in locked.items():
        assert package["integrity"].startswith("sha512-"), name
        assert "resolved" not in package, name
    assert (PAGE / ".npmrc").read_text().split() == [
        "omit-lockfile-registry-resolved=true",
        "ignore-scripts=true",
    ]
