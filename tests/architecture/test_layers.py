"""The folder listing is the architecture: imports point down, files stay small."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.checkout import ROOT, files

MOST_LINES = 400
SOURCES = ("*.py", "*.sh", "*.c", ".ci/run")


def test_every_import_contract_is_kept() -> None:
    """import-linter breaks none of the contracts in pyproject.toml."""
    program = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr


def test_files_are_short() -> None:
    """A file that is longer than this holds two nouns: split it by noun."""
    lengths = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in files(*SOURCES)}
    assert not {name: length for name, length in lengths.items() if length > MOST_LINES}


@pytest.mark.parametrize("package", ["adapters", "serving", "zephyr"])
def test_no_module_is_named_after_nothing(package: str) -> None:
    """Names that say nothing collect everything."""
    empty_names = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py", "manager.py"}
    assert not {file.name for file in files(f"{package}/*.py")} & empty_names


def test_every_module_says_what_it_is() -> None:
    """The first statement of a module is its docstring."""
    for file in files("adapters/*.py", "serving/*.py", "zephyr/*.py", "tests/*.py", "benchmarks/*.py"):
        source = file.read_text()
        assert not source.strip() or ast.get_docstring(ast.parse(source)), file.relative_to(ROOT)
