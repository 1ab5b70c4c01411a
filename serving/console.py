"""Showing what the parts say: a live table on a terminal, plain lines anywhere else."""

import re
import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from serving.process.lines import event
from serving.reporting import Kind
from serving.status import Status

MARKS: dict[Kind, tuple[str, str]] = {
    "busy": ("…", "yellow"),
    "ready": ("✓", "green"),
    "trouble": ("✗", "red"),
    "stopped": ("·", "dim"),
}
PLAIN_SECONDS = 5.0  # between two lines that differ only in a number


class PlainDisplay:
    """One line for each thing said; a counting percentage now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: dict[str, tuple[str, float]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is kept open."""

    def tell(self, part: str, kind: Kind, text: str) -> None:
        shape, now = re.sub(r"\d+", "#", text), time.monotonic()
        before, at = self._said.get(part, ("", 0.0))
        if kind == "busy" and shape == before and now - at < PLAIN_SECONDS:
            return
        self._said[part] = (shape, now)
        mark, _ = MARKS[kind]
        self._console.print(
            f"{time.strftime('%H:%M:%S')} {mark} {part:<10} {text}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


class JsonDisplay:
    """One JSON object for each thing said, among the lines of the parts."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is kept open."""

    def tell(self, part: str, kind: Kind, text: str) -> None:
        level = "error" if kind == "trouble" else "info"
        print(event("host", level, text, part=part, state=kind), file=sys.stderr, flush=True)


class LiveDisplay:
    """A table that shows where each part is; troubles stay above it."""

    def __init__(self, console: Console) -> None:
        self._states: dict[str, tuple[Kind, str, float]] = {}
        self._spinner = Spinner("dots", style="yellow")
        self._live = Live(console=console, get_renderable=self._table, refresh_per_second=8)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def tell(self, part: str, kind: Kind, text: str) -> None:
        before = self._states.get(part)
        since = before[2] if before is not None and before[0] == kind else time.monotonic()
        self._states[part] = (kind, text.splitlines()[0] if text else "", since)
        if kind == "trouble":
            self._live.console.print(Text(f"✗ {part}: {text}", style="red"))

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 1))
        for part, (kind, text, since) in self._states.items():
            mark, style = MARKS[kind]
            seconds = f"{time.monotonic() - since:.0f} s" if kind == "busy" else ""
            table.add_row(
                self._spinner if kind == "busy" else Text(mark, style), part, Text(text), Text(seconds, "dim")
            )
        return table


def status_table(status: Status, now: float) -> Table:
    """Each part of a running `zephyr up`: how it is, what it said last and how long ago."""
    table = Table.grid(padding=(0, 1))
    for name, part in status.parts.items():
        mark, style = MARKS[part.kind]
        seconds = f"{max(0.0, now - part.since):.0f} s ago"
        table.add_row(Text(mark, style), name, Text(part.text), Text(seconds, "dim"))
    return table


def display(console: Console, log_format: str = "text") -> JsonDisplay | PlainDisplay | LiveDisplay:
    """The display that was asked for, or suits where the output goes."""
    if log_format == "json":
        return JsonDisplay()
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(console)
