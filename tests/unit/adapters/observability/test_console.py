"""Texts of others on a terminal."""

from hypothesis import given
from hypothesis import strategies as st

from adapters.observability.console import harmless


@given(st.text())
def test_no_text_steers_the_terminal(text: str) -> None:
    """Whatever was said, only printable characters and new lines get out, and all of them can be encoded."""
    shown = harmless(text).plain
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert len(shown) == len(text)
    shown.encode()
