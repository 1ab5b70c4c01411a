"""Months, counted from the one that it is."""

from datetime import UTC, datetime

NOW = datetime.now(UTC)


def month(after: int) -> datetime:
    """The first moment of a month, so many after this one."""
    months = NOW.year * 12 + NOW.month - 1 + after
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)


def name(after: int) -> str:
    """The name of that month's partition."""
    return f"exchanges_{month(after):%Y_%m}"
