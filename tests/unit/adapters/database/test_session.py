"""The database's URL: what is taken, and what is never said."""

import asyncio

import pytest

from adapters.database.session import address, connect
from adapters.settings import BadSettings
from tests.databases import log_settings


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgresql://u:p@host:5433/name", "postgresql://u:p@host:5433/name"),
        ("postgresql+asyncpg://u@host/name", "postgresql://u@host/name"),
        ("postgres://u@host/name", "postgresql://u@host/name"),
        (
            "postgresql://postgres@/name?host=/some/folder",
            "postgresql://postgres@/name?host=%2Fsome%2Ffolder",
        ),
        ("postgresql://u:s%2Fl%40sh@host/name", "postgresql://u:s%2Fl%40sh@host/name"),
        ("postgresql://u:p@host/name?sslmode=require", "postgresql://u:p@host/name?sslmode=require"),
    ],
)
def test_urls_that_are_taken(given: str, used: str) -> None:
    """As asyncpg wants them, socket folders and odd passwords included."""
    assert address(log_settings(given)) == used


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hidden",
        "mysql://u:hidden@host/name",
        "postgresql+psycopg://u:hidden@host/name",
        "postgresql://u:hidden@host:port/name",
        "postgresql://u:hidden@host:1/name?sslmode=hidden",
        "postgresql://u:hidden@host:99999999/name",
        "postgresql://u:hidden@[::1/name",
    ],
)
def test_urls_that_are_refused_are_not_repeated(url: str) -> None:
    """The error names the variable, and holds nothing of its value, also further up its chain."""
    with pytest.raises((BadSettings, OSError)) as caught:
        asyncio.run(connect(log_settings(url)))
    error: BaseException | None = caught.value
    assert not isinstance(error, BadSettings) or "DATABASE_URL" in str(error)
    while error is not None:
        assert "hidden" not in str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
