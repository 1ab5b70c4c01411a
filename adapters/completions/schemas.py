"""What is taken of a JSON schema that an answer is to follow.

The engine turns it into a grammar before the first token, beside everybody's answers, and nothing stops that once it has
begun: a pattern of a few characters can keep it busy for minutes.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from adapters.errors import InvalidRequest

_DEEPEST = 64  # vLLM 0.32 takes no deeper JSON either
_LARGEST_PATTERNS = 256  # characters that all patterns of a request match at most, written out
_COUNT = re.compile(r"\{([0-9]*)(?:,([0-9]*))?\}")
_CLASS = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]?", re.DOTALL)


def check_schema(field: str, value: object, most_bytes: int) -> None:
    """Check what comes with a schema in this field.

    Raises:
        InvalidRequest: it is too large, too deep, or its patterns are, or it refers to itself without end.
    """
    if len(msgspec.json.encode(value)) > most_bytes:
        raise InvalidRequest(f"This is larger than {most_bytes} bytes.", param=field)
    plain = msgspec.to_builtins(value)
    if _deeper_than(_DEEPEST, plain):
        raise InvalidRequest(f"This is nested deeper than {_DEEPEST} levels.", param=field)
    if sum(map(written_out, _patterns(plain))) > _LARGEST_PATTERNS:
        raise InvalidRequest(
            f"The patterns in this are longer than {_LARGEST_PATTERNS} characters once their counts, as of x{{1,50}}, "
            "are written out.",
            param=field,
        )
    for schema in _schemas(plain):
        if reference := _endless(schema):
            raise InvalidRequest(f"The reference {reference!r} leads to nothing but itself.", param=field)


def _schemas(value: Any) -> Iterator[object]:
    """The schemas of an answer's form or of tools, each whole: its references begin at its own root."""
    for one in value if isinstance(value, list) else [value]:
        for holder, member in (("json_schema", "schema"), ("function", "parameters")):
            yield (one.get(holder) or {}).get(member)


def _endless(schema: object) -> str | None:
    """A reference that leads to references only, round and round: the engine takes it, and then finds no token for it."""
    followed: set[str] = set()
    for first in _references(schema):
        way, reference = set[str](), first
        while reference not in followed:
            if reference in way:
                return reference
            way.add(reference)
            if (further := _reference(_at(schema, reference))) is None:
                break
            reference = further
        followed |= way
    return None


def _references(value: object) -> Iterator[str]:
    if (reference := _reference(value)) is not None:
        yield reference
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _references(inner)


def _reference(value: object) -> str | None:
    reference = value.get("$ref") if isinstance(value, dict) else None
    return reference if isinstance(reference, str) else None


def _at(schema: object, reference: str) -> object:
    """What stands there; None where nothing does, which the engine says itself."""
    for name in reference.split("/")[1:]:
        schema = schema.get(name) if isinstance(schema, dict) else None
    return schema


def written_out(pattern: str) -> int:
    """How many characters a pattern names at most once each counted repetition is written out: `(ab?){1,3}` is 6."""
    groups, total, last, place = list[int](), 0, 0, 0
    while place < len(pattern):
        here = pattern[place]
        if here == "{" and (count := _COUNT.match(pattern, place)):
            times = max(int(number[:9]) for number in (*count.groups(), "1") if number)
            total, last, place = total + last * (times - 1), last * times, count.end()
            continue
        if here == "(":
            groups.append(total)
            total, last = 0, 0
        elif here == ")" and groups:
            last, total = total, groups.pop() + total
        elif here not in "*+?|":
            total, last = total + 1, 1
        if here == "[" and (some := _CLASS.match(pattern, place)):
            place = some.end()
        else:
            place += 2 if here == "\\" else 1
    return total + sum(groups)


def _patterns(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "pattern" and isinstance(inner, str):
                yield inner
            elif name == "patternProperties" and isinstance(inner, dict):
                yield from inner
            yield from _patterns(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _patterns(inner)


def _deeper_than(levels: int, value: object) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_deeper_than(levels - 1, item) for item in inner)
