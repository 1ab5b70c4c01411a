"""Exchanges as a person reads them on a terminal. What was said cannot steer the terminal."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from adapters.conversations.exchange import Exchange, Outcome, accepted_at
from adapters.conversations.partitions import Partition
from adapters.observability.console import harmless

_STYLES = {Outcome.COMPLETED: "green", Outcome.LENGTH: "yellow"}
_PREVIEW_LENGTH = 200
_TEXTS = ("input", "answer", "error", "parameters", "metadata")


def print_list(console: Console, exchanges: Iterable[Exchange]) -> None:
    """A line for each exchange."""
    table = Table(box=None, pad_edge=False, expand=True)
    for name, width in (("id", 36), ("started", 11), ("outcome", 11)):
        table.add_column(name, no_wrap=True, width=width)
    table.add_column("said", no_wrap=True, ratio=1)  # whatever room is left
    for exchange in exchanges:
        table.add_row(
            str(exchange.id),
            f"{exchange.started_at.astimezone():%m-%d %H:%M}",
            Text(exchange.outcome, style=_STYLES.get(exchange.outcome, "red")),
            Text("deleted", style="dim")
            if exchange.deleted_at
            else harmless(_last_said(exchange.input)[:_PREVIEW_LENGTH]),
        )
    console.print(table)


def print_exchange(console: Console, exchange: Exchange) -> None:
    """Everything that is known of one exchange."""
    facts = Table.grid(padding=(0, 2))
    for name in Exchange.__struct_fields__:
        value = getattr(exchange, name)
        if name not in _TEXTS and value is not None:
            facts.add_row(Text(name, style="bold"), harmless(str(value)))
    parts: list[RenderableType] = [facts]
    for name in _TEXTS:
        text = getattr(exchange, name)
        if text not in (None, b"{}", b"null"):
            parts.append(Panel(harmless(_indented(text)), title=name, title_align="left"))
    console.print(Group(*parts))


def print_status(console: Console, status: Mapping[str, Any]) -> None:
    """Where every exchange is, as a sum."""
    facts = Table.grid(padding=(0, 2))
    for name in ("committed", "spooled", "refused", "lost", "waiting", "accepted"):
        sign = "=" if name == "accepted" else "+"
        facts.add_row(sign, name, Text(str(status[name]), justify="right"))
    console.print(facts)
    for name in ("oldest_unshipped", "database_away_since", "spool_problem"):
        if status[name] is not None:
            console.print(harmless(f"{name.replace('_', ' ')}: {status[name]}"))


def print_dropped(console: Console, dropped: Sequence[Partition], *, would: bool) -> None:
    """The partitions of the log that are kept no longer."""
    if not dropped:
        console.print("Nothing is old enough to go.")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("would go" if would else "gone", "until", "exchanges, about", "MiB"):
        table.add_column(name, justify="left" if name in ("would go", "gone", "until") else "right")
    for part in dropped:
        ends = f"{accepted_at(part.ends):%Y-%m-%d}" if part.ends else ""
        table.add_row(part.name, ends, f"{part.exchanges}", f"{part.bytes / 2**20:.1f}")
    console.print(table)


def _indented(text: bytes) -> str:
    return json.dumps(json.loads(text), indent=2, ensure_ascii=False)


def _last_said(text: bytes) -> str:
    """The last thing that the client wrote, in one line, if it is in one of the usual places."""
    said: Any = json.loads(text)
    if isinstance(said, list) and said:
        said = said[-1]
    if isinstance(said, dict):
        said = said.get("content")
    if isinstance(said, list):
        said = " ".join(str(part.get("text", "")) for part in said if isinstance(part, dict))
    return " ".join(said.split()) if isinstance(said, str) else ""
