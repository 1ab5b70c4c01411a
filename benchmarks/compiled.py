"""The C programs of the benchmarks, compiled when they are needed."""

import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent


class NoCompiler(Exception):
    """There is no C compiler here: install one that can be called as `cc`."""


def compiled(name: str, into: Path) -> Path:
    """Compile `benchmarks/<name>.c` into a folder, and return the program.

    Raises:
        NoCompiler: there is no `cc`.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise NoCompiler(NoCompiler.__doc__)
    program = into / name
    subprocess.run([compiler, "-O2", "-Wall", "-o", program, HERE / f"{name}.c"], check=True)
    return program
