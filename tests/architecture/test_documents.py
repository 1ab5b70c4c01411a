"""The documents hold together: links lead somewhere, versions agree, decisions are numbered once."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import adapters
from tests.architecture.checkout import ROOT, files

DECISIONS = ROOT / "docs" / "decisions"
PARTS_OF_A_DECISION = ["Context", "Decision", "Consequences", "Alternatives", "References"]


def test_links_within_the_checkout_lead_somewhere() -> None:
    """Each relative link names a file, and each fragment a heading in it."""
    dead = [f"{file.relative_to(ROOT)}: {link}" for file in files("*.md") for link in dead_links(file)]
    assert not dead


def test_files_that_are_named_exist() -> None:
    """A path in a document is a path of the checkout."""
    folders = "adapters|serving|zephyr|tests|docs|setup|deploy|benchmarks"
    for page in files("*.md"):
        for name in re.findall(rf"`((?:{folders})/[\w./-]*)`", page.read_text()):
            assert (ROOT / name).exists(), f"{page.relative_to(ROOT)} names {name}"


def test_one_version_everywhere() -> None:
    """The package, its project file and the newest entry of the changelog agree."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released[0] == project["version"] == adapters.__version__


def test_architecture_page_has_a_line_for_every_package() -> None:
    """A module or package that is added, moved or removed changes the page."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    for package in ("adapters", "serving"):
        table = page.split(f"| `{package}`: ", 1)[1].split("\n\n", 1)[0]
        rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
        named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
        assert named == parts(ROOT / package)


def parts(package: Path) -> set[str]:
    found = {
        path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    return found - {"__init__", "__main__"}


def test_decisions_are_numbered_once_and_listed() -> None:
    """The index has a line for every decision, in order."""
    numbers = [file.name[:4] for file in decisions()]
    assert len(numbers) == len(set(numbers))
    listed = re.findall(r"\]\((\d{4})-[\w-]+\.md\)", (DECISIONS / "0000-index.md").read_text())
    assert listed == numbers


def test_decision_has_the_parts_of_one() -> None:
    """Context, decision, consequences, alternatives and references, on about one page."""
    for file in decisions():
        text = file.read_text()
        assert re.findall(r"^## (\w+)", text, re.MULTILINE) == PARTS_OF_A_DECISION, file.name
        assert text.startswith(f"# {int(file.name[:4])}. "), file.name
        assert len(text.split()) < 700, file.name


def decisions() -> list[Path]:
    return [file for file in sorted(DECISIONS.glob("[0-9]*-*.md")) if not file.name.startswith("0000")]


def dead_links(document: Path) -> Iterator[str]:
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, fragment = target.partition("#")
        file = (document.parent / name).resolve() if name else document
        if not file.exists() or (fragment and fragment not in anchors(file)):
            yield target


def anchors(file: Path) -> set[str]:
    """The fragments by which the headings of a document are reached."""
    headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
