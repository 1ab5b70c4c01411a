"""Make the environments of this checkout from its locks: `.venv` (gateway, host, command line), `.venv-engine` (vLLM) and,
for several engines, `.venv-router`.

Runs on a bare Python 3.11+ and installs only what is missing: a finished environment carries a stamp with the hash
of the lock it was made from, so a second start does nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import time
import venv
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
LOCKS = CHECKOUT / "setup"
TORCH = "2.13.0"
PIP_LINES_SHOWN_ON_FAILURE = 25


class SetupError(Exception):
    """The environment cannot be made; the message says why and what to do."""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="+", choices=["gateway", "dev", "engine", "router"])
    wanted = parser.parse_args(arguments).parts
    if sys.version_info < (3, 11):  # noqa: UP036  # it may be started by any Python
        print(f"setup: Python 3.11 or newer is needed, this is {sys.version.split()[0]}.", file=sys.stderr)
        return 2
    try:
        with one_at_a_time():
            for part in wanted:
                PARTS[part]()
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("setup: interrupted; the next start begins this environment anew.", file=sys.stderr)
        return 130
    return 0


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold the checkout while installing, so that two starts at once do not write into one environment."""
    if os.name == "nt":
        yield
        return
    import fcntl  # noqa: PLC0415  # not on Windows

    directory = os.open(CHECKOUT, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def make_gateway() -> None:
    make_own_environment("gateway")


def make_dev() -> None:
    make_own_environment("dev")


def make_own_environment(part: str) -> None:
    """The dev lock holds everything that the gateway's does, in the same versions: it satisfies both."""
    environment = Environment(CHECKOUT / ".venv")
    fill_own_environment(environment, part)
    # The gateway runs without the page, and says how to build it: what fails here is told, and no more.
    subprocess.run([str(environment.python), str(LOCKS / "page.py"), "--once"], check=False)


def fill_own_environment(environment: Environment, part: str) -> None:
    lock = LOCKS / f"{part}.lock"
    stamp = stamp_of(lock, CHECKOUT / "pyproject.toml")
    if environment.has(part, stamp):
        return
    with environment.being_installed(part):
        environment.install_lock(lock)
        say(part, "installing this checkout into it")
        environment.pip(
            "install", "--no-build-isolation", "--no-deps", "--quiet", "--editable", str(CHECKOUT)
        )
    environment.mark("gateway", stamp_of(LOCKS / "gateway.lock", CHECKOUT / "pyproject.toml"))
    environment.mark(part, stamp)


def make_engine() -> None:
    build = engine_build()
    environment = Environment(CHECKOUT / ".venv-engine")
    lock = LOCKS / f"engine-{build}.lock"
    stamp = stamp_of(lock)
    if environment.has("engine", stamp):
        return
    with environment.being_installed("engine"):
        environment.install_lock(lock)
        if build == "cpu":
            install_cpu_torch(environment)
    environment.mark("engine", stamp)


def make_router() -> None:
    """What stands in front of several engines; `zephyr up` has it made when it needs one."""
    environment = Environment(CHECKOUT / ".venv-router")
    lock = LOCKS / "router.lock"
    stamp = stamp_of(lock)
    if environment.has("router", stamp):
        return
    with environment.being_installed("router"):
        environment.install_lock(lock)
    environment.mark("router", stamp)


PARTS = {"gateway": make_gateway, "dev": make_dev, "engine": make_engine, "router": make_router}


def engine_build() -> str:
    """`cuda` where an NVIDIA GPU is seen, otherwise `cpu`; ZEPHYR_ENGINE_BUILD decides over the hardware."""
    asked = os.environ.get("ZEPHYR_ENGINE_BUILD", "").strip()
    if asked:
        if asked not in ("cpu", "cuda"):
            raise SetupError(f"ZEPHYR_ENGINE_BUILD must be cpu or cuda, not {asked!r}.")
        return asked
    return "cuda" if nvidia_gpu_present() else "cpu"


def nvidia_gpu_present() -> bool:
    driver = Path("/proc/driver/nvidia/gpus")
    if driver.is_dir() and any(driver.iterdir()):
        return True
    try:
        answer = subprocess.run(
            ["nvidia-smi", "-L"],  # noqa: S607  # wherever the driver put it
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.stdout.startswith("GPU ")


def install_cpu_torch(environment: Environment) -> None:
    """Hashes cannot be pinned for this one wheel: its place depends on the machine. Its version and build can."""
    say("engine", f"installing torch {TORCH}+cpu")
    try:
        environment.pip("install", "--no-deps", "--progress-bar", "off", f"torch=={TORCH}+cpu")
    except SetupError:
        say("engine", "pip does not know the CPU build of torch here; asking PyTorch's own index through uv")
        uv = [str(environment.program("uv")), "pip", "install", "--python", str(environment.python)]
        run([*uv, "--no-deps", "--torch-backend", "cpu", f"torch=={TORCH}"], "uv")
    refuse_cuda_torch(environment)


def refuse_cuda_torch(environment: Environment) -> None:
    probe = "import torch; print(torch.__version__, torch.version.cuda)"
    answer = subprocess.run(
        [str(environment.python), "-c", probe], capture_output=True, text=True, check=False
    )
    if answer.returncode != 0:
        raise SetupError(f"the installed torch does not start: {answer.stderr.strip()[-400:]}")
    version, cuda = answer.stdout.split()
    if cuda != "None" or not version.startswith(TORCH):
        raise SetupError(f"torch {version} (CUDA {cuda}) was installed where {TORCH}+cpu is needed.")


class Environment:
    """One virtual environment: made, filled from a lock, and stamped when it is complete."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.python = self.program("python")
        self._unfinished = directory / "setup-unfinished"

    def program(self, name: str) -> Path:
        return self.directory / ("Scripts" if os.name == "nt" else "bin") / name

    def has(self, part: str, stamp: str) -> bool:
        file = self._stamp_file(part)
        return not self._unfinished.exists() and file.exists() and file.read_text() == stamp

    def mark(self, part: str, stamp: str) -> None:
        self._stamp_file(part).write_text(stamp)

    def _stamp_file(self, part: str) -> Path:
        return self.directory / f"setup-{part}.stamp"

    @contextlib.contextmanager
    def being_installed(self, part: str) -> Iterator[None]:
        """Leave a mark while installing; an environment that still carries one is made anew, never trusted."""
        started = time.monotonic()
        self._create()
        self._unfinished.touch()
        yield
        self._unfinished.unlink()
        say(part, f"ready after {time.monotonic() - started:.0f} s")

    def _create(self) -> None:
        if self.python.exists() and not self._unfinished.exists():
            return
        say(self.directory.name, "making the environment")
        with_pip = importlib.util.find_spec("ensurepip") is not None
        if not with_pip and importlib.util.find_spec("pip") is None:
            raise SetupError(
                "this Python has neither pip nor ensurepip; install python3-venv or python3-pip."
            )
        venv.create(self.directory, clear=True, with_pip=with_pip, symlinks=os.name != "nt")

    def pip(self, *arguments: str, expected: int = 0) -> None:
        run([*self._pip_command(), "--disable-pip-version-check", *arguments], "pip", expected)

    def _pip_command(self) -> list[str]:
        own = (
            subprocess.run([self.python, "-c", "import pip"], capture_output=True, check=False).returncode
            == 0
        )
        return (
            [str(self.python), "-m", "pip"]
            if own
            else [sys.executable, "-m", "pip", "--python", str(self.python)]
        )

    def install_lock(self, lock: Path) -> None:
        """Install exactly what the lock names, refusing anything whose hash is not in it."""
        expected = len(re.findall(r"^\S+==", lock.read_text(), re.MULTILINE))
        say(lock.stem, f"installing from {lock.name} (up to {expected} packages)")
        self.pip(
            "install",
            "--require-hashes",
            "--no-deps",
            "--progress-bar",
            "off",
            "-r",
            str(lock),
            expected=expected,
        )


def stamp_of(*files: Path) -> str:
    digest = hashlib.sha256(f"{CHECKOUT} {sys.version_info[:2]} torch {TORCH}".encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def run(command: Sequence[str], name: str, expected: int = 0) -> None:
    """Run an installer, telling how far it is; raise with its last lines if it fails."""
    last_lines: deque[str] = deque(maxlen=PIP_LINES_SHOWN_ON_FAILURE)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in tell_progress(process.stdout, name, expected):
            last_lines.append(line)
    if process.returncode != 0:
        raise SetupError(f"{name} failed (exit status {process.returncode}):\n" + "".join(last_lines))


def tell_progress(lines: Iterator[str], name: str, expected: int) -> Iterator[str]:
    collected = 0
    for line in lines:
        if line.startswith(
            "WARNING: Location"
        ):  # pip's note about an index that lacks a package: thousands of them
            continue
        if re.match(r"(Collecting|Requirement already satisfied)", line):
            collected += 1
            if expected and collected % 20 == 0:
                say(name, f"{collected} of about {expected} packages fetched")
        elif line.startswith("Installing collected packages"):
            say(name, "unpacking them")
        yield line


def say(subject: str, text: str) -> None:
    print(f"setup: {subject}: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
