"""Which schemas are taken: none that keeps the engine from everybody else's answers."""

import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from adapters.completions.schemas import check_schema, written_out
from adapters.errors import InvalidRequest

UUID = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
ORDINARY = [
    UUID,
    r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$",
    r"^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}$",
    r"^\+?[0-9 ()-]{5,20}$",
    r"^(https?|ftp)://[^\s/$.?#].[^\s]*$",
    r"^\{[^{}]{0,99}\}$",
    r"^[]{}()]*$",
]
COSTLY = [
    "^(.{1,50}x){1,50}$",  # minutes of every core, with vLLM 0.32
    r"^[\u0000-\uffff]{0,5000}$",
    "^.{300}$",
    "^.{300,}$",
    "^((a{1,9}){1,9}){1,9}$",
    "^(?:.{16}){17}$",
    "((((.{99999999999999999999}",
    "[^\\]]{257}",
]


def schema(pattern: str) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": {"type": "string", "pattern": pattern}}}


@pytest.mark.parametrize("pattern", ORDINARY)
def test_ordinary_patterns_are_taken(pattern: str) -> None:
    check_schema("tools", schema(pattern), 65536)


@pytest.mark.parametrize("pattern", COSTLY)
def test_costly_patterns_are_refused(pattern: str) -> None:
    """Wherever they stand."""
    values: tuple[dict[str, Any], ...] = (
        schema(pattern),
        {"patternProperties": {pattern: {}}},
        {"anyOf": [{"items": [{"pattern": pattern}]}]},
        {"properties": {"pattern": {"pattern": pattern}}},
    )
    for value in values:
        with pytest.raises(InvalidRequest, match="patterns") as caught:
            check_schema("response_format", value, 65536)
        assert caught.value.param == "response_format"


def test_all_patterns_of_a_request_count() -> None:
    """Many that are small are one that is large."""
    with pytest.raises(InvalidRequest, match="patterns"):
        check_schema("tools", {"properties": {f"p{n}": {"pattern": UUID} for n in range(7)}}, 65536)


@pytest.mark.parametrize(
    ("pattern", "length"),
    [
        ("", 0),
        ("abc", 3),
        ("(ab?){1,3}", 6),
        ("a{0}", 1),
        (r"\{9}", 3),
        ("[a{9}]", 1),
        ("a{2}{3}", 6),
        ("a|b{5}", 6),
    ],
)
def test_counts_are_written_out(pattern: str, length: int) -> None:
    assert written_out(pattern) == length


def counted(inner: tuple[str, int], times: int) -> tuple[str, int]:
    return f"({inner[0]}){{1,{times}}}", inner[1] * times


def joined(one: tuple[str, int], other: tuple[str, int]) -> tuple[str, int]:
    return one[0] + other[0], one[1] + other[1]


PATTERNS = some.recursive(
    some.sampled_from([("a", 1), (".", 1), (r"\d", 1), (r"\)", 1), ("[)(]", 1), ("[^]a{2}]", 1)]),
    lambda inner: some.builds(counted, inner, some.integers(1, 99)) | some.builds(joined, inner, inner),
)


@given(PATTERNS)
def test_any_nesting_of_counts_is_written_out(pattern: tuple[str, int]) -> None:
    """Groups in groups, counts of counts, and what only looks like either."""
    assert re.compile(pattern[0])
    assert written_out(pattern[0]) == pattern[1]


@given(some.text(alphabet="a[](){}\\,0129^*|", max_size=40))
def test_any_text_has_a_length(pattern: str) -> None:
    """Also one that is no pattern: the engine says so."""
    assert written_out(pattern) >= 0


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"properties": {"a": {"$ref": "#/properties/a"}}},
        {
            "items": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/a"}]},
            "$defs": {"a": {"$ref": "#/$defs/a"}},
        },
    ],
)
def test_references_without_end_are_refused(schema: dict[str, Any]) -> None:
    """The engine begins to answer them, and breaks."""
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    tools = [{"type": "function", "function": {"name": "f"}}]
    tools.append({"type": "function", "function": {"name": "g", "parameters": schema}})
    for field, value in {"response_format": form, "tools": tools}.items():
        with pytest.raises(
            InvalidRequest, match=r"The reference '#.*' leads to nothing but itself"
        ) as caught:
            check_schema(field, value, 65536)
        assert caught.value.param == field


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"children": {"type": "array", "items": {"$ref": "#"}}}},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"type": "string"}}},
        {"properties": {"$ref": {"type": "string"}}},
        {"$ref": "#/nowhere/at/all"},
        {"const": {"$ref": "#"}},
    ],
)
def test_other_references_are_taken(schema: dict[str, Any]) -> None:
    """Trees, names of names, members of that name, and what only the engine can judge."""
    check_schema("response_format", {"json_schema": {"name": "a", "schema": schema}}, 65536)


def test_many_references_take_little_time() -> None:
    """Each is followed once: otherwise as many as fit into a request would take seconds."""
    names = {f"a{n}": {"$ref": f"#/$defs/a{n + 1}"} for n in range(2000)} | {"a2000": {"type": "null"}}
    began = time.process_time()
    check_schema("response_format", {"json_schema": {"name": "a", "schema": {"$defs": names}}}, 65536)
    assert time.process_time() - began < 0.5
