"""Reading a Dockerfile: its instructions, in order, and what a COPY of them does to a folder."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


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
