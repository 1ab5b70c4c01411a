"""A section's text can neither add headings to a document nor swallow the ones that follow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from adapters.zephyr.headings import SectionText

MARKS = ["#", "# ", "## Notes", "=", "===", "-", "---", "```", "````", "~~~", "`", "> ", "- ", "* ", "1. "]
SPACES = ["\n", "\n\n", "\r", "\r\n", "    ", "  ", "\t", "\u2028", "\x0b"]
TEXTS = ["text", "<!--", "<pre>", "<h2>x</h2>", "-->", "|", "**", "[a]:", "\\"]
HOSTILE = st.lists(st.sampled_from([*MARKS, *SPACES, *TEXTS]), max_size=24)


def rewritten(*pieces: str, heading: str = "Notes") -> str:
    text = SectionText(heading)
    return "".join(text.feed(piece) for piece in pieces) + text.end()


def headings(markdown: str) -> list[str]:
    tokens = MarkdownIt("commonmark").parse(markdown)
    return [tokens[place + 1].content for place, token in enumerate(tokens) if token.type == "heading_open"]


@given(HOSTILE, HOSTILE)
def test_no_text_adds_or_swallows_a_heading(first: list[str], second: list[str]) -> None:
    document = f"## Overview\n\n{rewritten(*first)}\n\n## Notes\n\n{rewritten(*second)}\n\n## End"
    assert headings(document) == ["Overview", "Notes", "End"]
    stripped = f"## Overview\n\n{rewritten(*first).strip()}\n\n## End"
    assert headings(stripped) == ["Overview", "End"]


@given(HOSTILE, st.integers(0, 40))
def test_the_result_does_not_depend_on_how_the_text_comes(parts: list[str], cut: int) -> None:
    text = "".join(parts)
    assert rewritten(text[:cut], text[cut:]) == rewritten(text) == rewritten(*text)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("Just *text*.\nAnd more.", "Just *text*.\nAnd more."),
        ("- a list\n- of two\n\n1. and\n2. numbers", "- a list\n- of two\n\n1. and\n2. numbers"),
        ("## Notes\n\nText", "\n\nText"),
        ("# notes: #\nText", "\nText"),
        ("### Other *one*\nText", "**Other *one**\n\nText"),
        ("Title\n---\nText", "Title\n\nText"),
        ("Text\n\n---\n\nText", "Text\n\n---\n\nText"),
        ("```python\n# a comment\n```\nText", "```python\n# a comment\n```\nText"),
        ("```python\n# cut off", "```python\n# cut off\n```"),
        ("~~~\n```\n# no\n~~~", "~~~\n```\n# no\n~~~"),
        ("- code:\n  ```\n  # x\n  ```\n", "- code:\n```\n  # x\n```\n"),
        ("    # indented", "    \\# indented"),
        ("<div>\n# x", "\\<div>\n**x**\n"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "| a | b |\n|---|---|\n| 1 | 2 |"),
        ("#hashtag", "#hashtag"),
    ],
)
def test_what_a_model_writes_is_shown_as(written: str, shown: str) -> None:
    assert rewritten(written) == shown


def test_ordinary_prose_is_shown_at_once_and_not_line_by_line() -> None:
    text = SectionText("Notes")
    assert [text.feed(piece) for piece in ("It ", "works", " well")] == ["It ", "works", " well"]
    assert [text.feed(piece) for piece in ("\n- an ", "item")] == ["\n- an ", "item"]
    assert text.feed("\n# may be") == "\n"
