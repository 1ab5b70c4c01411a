"""Exchanges on a terminal."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from adapters.conversations import terminal
from tests.records import an_exchange


@given(st.text())
def test_no_text_steers_the_terminal(text: str) -> None:
    """Whatever was said, only printable characters and new lines get out, and all of them can be encoded."""
    shown = terminal.harmless(text).plain
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert len(shown) == len(text)
    shown.encode()


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
