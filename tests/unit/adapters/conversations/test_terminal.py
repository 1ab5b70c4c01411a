"""Exchanges on a terminal."""

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from adapters.conversations import terminal
from adapters.conversations.exchange import deleted
from tests.records import an_exchange


@pytest.mark.parametrize(
    ("input", "shown"),
    [
        (b'[{"role": "user", "content": "first"}, {"role": "user", "content": "the\\n last"}]', "the last"),
        (b'[{"role": "user", "content": [{"type": "text", "text": "in"}, {"text": "parts"}]}]', "in parts"),
        (b'"a prompt"', "a prompt"),
        (b'["a", "list"]', "list"),
        (b"[1, 2, 3]", ""),
        (b"null", ""),
        (b"[]", ""),
        (b'[{"role": "assistant", "content": null}]', ""),
        (b'[{"content": [{"text": null}, 7]}]', "None"),
    ],
)
def test_the_list_shows_what_was_said_last(input: bytes, shown: str) -> None:
    """From wherever the request's shape has it; nothing where it is not text."""
    out = io.StringIO()
    terminal.print_list(Console(file=out, width=120), [an_exchange(input=input)])
    line = out.getvalue().splitlines()[1]
    assert line.split("completed")[1].strip() == shown


def test_a_deleted_exchange_is_shown_as_one() -> None:
    """With what is left of it, and no empty boxes for what is not."""
    exchange = deleted(an_exchange(), datetime.now(UTC))
    out = io.StringIO()
    console = Console(file=out, width=120)
    terminal.print_list(console, [exchange])
    assert out.getvalue().splitlines()[1].split("completed")[1].strip() == "deleted"
    terminal.print_exchange(console, exchange)
    assert "deleted_at" in out.getvalue()
    assert "\u2500" not in out.getvalue()
