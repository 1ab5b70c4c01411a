"""What an expression of PromQL asks for: names, labels, values. promtool says whether it is one."""

import re
from dataclasses import dataclass

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_SELECTOR = re.compile(r"([A-Za-z_:][\w:]*)?\s*\{([^}]*)\}")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')
_NAME = re.compile(r"(?<![\w:.])[A-Za-z_:][\w:]*(?![\w:]*\s*\()")
_WORDS = {
    "and",
    "or",
    "unless",
    "bool",
    "offset",
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "inf",
    "nan",
}


@dataclass(frozen=True)
class Matcher:
    """One condition on the label of a metric."""

    metric: str
    label: str
    operator: str
    value: str

    def takes(self, value: str) -> bool:
        """Whether it lets this value through."""
        same = re.fullmatch(self.value, value) if "~" in self.operator else self.value == value
        return bool(same) != self.operator.startswith("!")


@dataclass(frozen=True)
class Asked:
    """What one expression asks for."""

    metrics: frozenset[str]
    matchers: tuple[Matcher, ...]
    groups: frozenset[str]
    """Labels that it groups by."""


def asked(expression: str) -> Asked:
    """Read an expression."""
    matchers = [
        Matcher(metric, *matcher)
        for metric, braces in _SELECTOR.findall(expression)
        for matcher in _MATCHER.findall(braces)
    ]
    rest = _STRING.sub("", expression)
    groups = {label.strip() for labels in _GROUPING.findall(rest) for label in labels.split(",")}
    rest = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", _GROUPING.sub("", rest))
    return Asked(
        metrics=frozenset(_NAME.findall(rest)) - _WORDS,
        matchers=tuple(matchers),
        groups=frozenset(filter(None, groups)),
    )
