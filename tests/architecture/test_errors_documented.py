"""docs/errors.md has every code that the gateway can answer, and no other; each is caused in the test that it names."""

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from adapters.errors import GatewayError
from tests.architecture.checkout import ROOT, files

PAGE = ROOT / "docs" / "errors.md"
OF_FAILED_RESPONSES = {"invalid_prompt", "server_error"}
"""OpenAI's own, told of in a sentence."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the tables of codes."""

    code: str
    statuses: set[int]
    test: str


def rows() -> list[Row]:
    found = re.findall(
        r"^\| `(\w+)` \| ([^|]+) \|.*\| `(tests/[\w/]+\.py)` \|$", PAGE.read_text(), re.MULTILINE
    )
    return [
        Row(code=code, statuses={int(status) for status in re.findall(r"\d+", statuses)}, test=test)
        for code, statuses, test in found
    ]


def test_every_code_is_in_the_table_once_and_none_that_is_not_answered() -> None:
    """As the source names them: values of `code`, in classes and calls."""
    listed = [row.code for row in rows()]
    assert len(listed) == len(set(listed))
    assert set(listed) == codes() - OF_FAILED_RESPONSES
    assert all(f"`{code}`" in PAGE.read_text() for code in OF_FAILED_RESPONSES)


def test_statuses_are_those_of_the_source() -> None:
    """Of every kind of error that has a code of its own."""
    table = {row.code: row.statuses for row in rows()}
    for kind in kinds():
        if kind.code is not None and kind.code != "client_gone":  # which is sent to nobody
            assert kind.status in table[kind.code], kind


def test_each_is_caused_where_it_says() -> None:
    """The test that is named speaks of the code, or of the error that carries it."""
    names: dict[str, set[str]] = {}
    for kind in kinds():
        names.setdefault(kind.code or "", set()).add(kind.__name__)
    for row in rows():
        text = (ROOT / row.test).read_text()
        assert any(re.search(rf"\b{word}\b", text) for word in {row.code, *names.get(row.code, ())}), row


def kinds() -> set[type[GatewayError]]:
    """Every class of errors that a client can be told of."""
    for file in files("adapters/*.py"):
        if (
            name := ".".join(file.relative_to(ROOT).with_suffix("").parts)
        ) and "GatewayError" in file.read_text():
            importlib.import_module(name)
    found: set[type[GatewayError]] = set()
    todo: list[type[GatewayError]] = [GatewayError]
    while todo:
        more = [kind for kind in todo.pop().__subclasses__() if kind not in found]
        found.update(more)
        todo += more
    return found


def codes() -> set[str]:
    """The texts that the source gives to anything called `code`."""
    return {
        text
        for file in files("adapters/*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        for text in given(node)
    }


def given(node: ast.AST) -> Iterator[str]:
    value: ast.expr | None = None
    if isinstance(node, ast.keyword) and node.arg == "code":
        value = node.value
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(getattr(target, "id", getattr(target, "attr", None)) == "code" for target in targets):
            value = node.value
    chosen = [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]
    yield from (one.value for one in chosen if isinstance(one, ast.Constant) and isinstance(one.value, str))
