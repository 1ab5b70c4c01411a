"""The text of one section of a document, kept from adding, or swallowing, headings.

A model is asked not to write headings and does so all the same. What it writes is taken line by line, by the rules
of CommonMark (https://spec.commonmark.org): its headings become bold lines, and code blocks that it leaves open are
closed, so that the headings between the sections stay the only ones.
"""

import re

_CONTAINERS = r"(?:(?:[-*+>]|\d{1,9}[.)])\s*)*"
_HEADING = re.compile(rf"^(\s*{_CONTAINERS})#{{1,6}}(?:\s|$)")
_UNDERLINE = re.compile(r"^[\s>]*(?:=+|-+)\s*$")
_FENCE = re.compile(r"^\s*(?:(?:[-*+]|\d{1,9}[.)])\s+)*(`{3,}(?=[^`]*$)|~{3,})(.*)$")
_HTML = re.compile(rf"^(\s*{_CONTAINERS})(?=<[A-Za-z/!?])")
_HARMLESS_START = re.compile(r"^ {0,3}(?:(?:[-*+]|\d{1,9}[.)])\s+)?[^\s#<>=+*~`\d-]")
_CODE_INDENT = 4


class SectionText:
    """Takes the text of a section piece by piece and gives it back without headings."""

    def __init__(self, heading: str) -> None:
        self._heading = heading
        self._line = ""
        self._shown = 0
        self._fence: str | None = None
        self._after_text = False

    def feed(self, piece: str) -> str:
        """What of the text so far can be shown now. A line that may turn out to be a heading waits for its end."""
        *lines, self._line = (self._line + piece.replace("\r", "")).split("\n")
        text = "".join(self._finish(line) + "\n" for line in lines)
        if self._fence is None and _HARMLESS_START.match(self._line):
            text += self._line[self._shown :]
            self._shown = len(self._line)
        return text

    def end(self) -> str:
        """The rest, with a code block that is still open closed."""
        text = self._finish(self._line)
        self._line = ""
        return f"{text}\n{self._fence}" if self._fence else text

    def _finish(self, line: str) -> str:
        shown, self._shown = self._shown, 0
        text = line[shown:] if shown else self._rewrite(line)
        self._after_text = self._fence is None and bool(line if shown else text.strip(" \t"))
        return text

    def _rewrite(self, line: str) -> str:
        if self._fence:
            return self._in_code(line)
        if fence := _FENCE.match(line):
            # At the left margin no list item can end the block before its own end does.
            self._fence = fence[1]
            info = fence[2].strip()
            return f"{fence[1]} {info}" if info.startswith("~") else fence[1] + info
        if heading := _HEADING.match(line):
            return self._bold(line, heading[1], line[heading.end() :])
        if self._after_text and _UNDERLINE.match(line):
            return ""
        return _HTML.sub(r"\1\\", line)

    def _in_code(self, line: str) -> str:
        assert self._fence is not None
        mark = line.strip()
        if len(mark) < len(self._fence) or mark.strip(self._fence[0]):
            return line
        self._fence = None
        return mark

    def _bold(self, line: str, before: str, title: str) -> str:
        if len(before.expandtabs(4)) - len(before.lstrip()) >= _CODE_INDENT:
            return before + "\\" + line[len(before) :]
        title = title.strip().rstrip("#").strip().strip("*_ ")
        if not title or title.rstrip(":").casefold() == self._heading.casefold():
            return ""
        return f"{before}**{title}**\n"
