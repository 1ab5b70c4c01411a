"""Reading a Dockerfile: its instructions, in order, and what a COPY or a RUN of them does to a folder."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One instruction, such as RUN, and what follows it."""

    name: str
    rest: str


def instructions(file: Path) -> Iterator[Instruction]:
    """The instructions of a Dockerfile, continued lines joined, comments left out."""
    lines = [line for line in file.read_text().splitlines() if line.strip() and not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, rest = line.split(maxsplit=1)
        yield Instruction(name=name, rest=rest.strip())


def first_stage(file: Path) -> list[Instruction]:
    """The instructions up to the second FROM."""
    found = list(instructions(file))
    starts = [index for index, one in enumerate(found) if one.name == "FROM"]
    return found[: starts[1]] if len(starts) > 1 else found


def base_images(file: Path) -> list[str]:
    """What its stages start from."""
    return [one.rest.split()[0] for one in instructions(file) if one.name == "FROM"]


def variables(file: Path) -> dict[str, str]:
    """What its ENV instructions set."""
    together = " ".join(one.rest for one in instructions(file) if one.name == "ENV")
    return dict(re.findall(r"(\w+)=(\S+)", together))


def copied(file: Path) -> list[str]:
    """What it takes from the build context."""
    words = [one.rest.split() for one in instructions(file) if one.name == "COPY"]
    return [source for copy in words if not copy[0].startswith("--") for source in copy[:-1]]


def copy(instruction: Instruction, context: Path, workdir: Path) -> None:
    """Do what a COPY of the build context does, in a folder that stands for the working directory."""
    *sources, target = instruction.rest.split()
    for source in (context / name for name in sources):
        if source.is_dir():
            shutil.copytree(source, workdir / target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            place = workdir / target / source.name if target.endswith("/") else workdir / target
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, place)


def left_by(file: Path, place: str, checkout: Path, folder: Path) -> Path:
    """What a Dockerfile's first stage leaves at a place in the image, made by its own commands."""
    if importlib.util.find_spec("ensurepip") is None:
        pytest.skip("this Python cannot make an environment with pip in it, as the image's does")
    home, workdir = folder / "home", folder / "context"
    workdir.mkdir()
    for instruction in first_stage(file):
        if instruction.name == "COPY":
            copy(instruction, checkout, workdir)
        elif instruction.name == "RUN":
            run(instruction.rest.replace(place, str(home)), workdir)
    return home


def run(command: str, workdir: Path) -> None:
    """Do what a RUN does, with the programs of our own environment."""
    search = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["/bin/sh", "-ec", command],
        cwd=workdir,
        env=os.environ | {"PATH": search},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
