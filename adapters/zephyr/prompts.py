"""Templates as plain text: `{name}` stands for a field, everything else for itself. Nothing is ever executed."""

import re
from collections.abc import Mapping

_PLACEHOLDER = re.compile(r"\{([a-z_][a-z0-9_]*)\}")


def placeholders(template: str) -> set[str]:
    """The names of the fields that a template asks for."""
    return set(_PLACEHOLDER.findall(template))


def fill(template: str, values: Mapping[str, str]) -> str:
    """Put the values in their places, in one pass: braces inside a value stay what they are."""
    return _PLACEHOLDER.sub(lambda match: values[match[1]], template)
