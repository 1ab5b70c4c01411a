"""What `zephyr top` shows: one frame of it, for any width and height. What a gateway says cannot steer the terminal."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from adapters.observability.console import harmless
from adapters.top.looking import Log, Look, Tenant

_MIB_IN_GIB = 1024
_LONGEST_SECONDS = 60.0  # a rate over a longer time says nothing about now
_LABEL = 9  # cells of the first column
_MOST_GPUS = 8
_WIDE = 64  # cells, from which on every column has room
_COLUMNS = ("waiting", "running", "tokens in", "tokens out", "out/s")
_HEADING_ROWS = 2  # of the tenants: an empty one and their names


class Frame:
    """One frame. It takes the console's height where that is one's own, and as many rows as there are elsewhere."""

    def __init__(self, address: str, now: Look, before: Look | None, first: float | None) -> None:
        """Rates are those since `before`; `first` is the last time to first token that is known."""
        self._address = address
        self._now = now
        self._before = before
        self._first = first

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = [*self._rows()]
        facts = Table.grid(padding=(0, 1))
        facts.add_column(min_width=_LABEL, no_wrap=True)
        facts.add_column(no_wrap=True, overflow="ellipsis")
        for label, text in rows:
            facts.add_row(Text(label, "bold"), text)
        room = options.size.height - 1 - len(rows) - _HEADING_ROWS if console.is_terminal else None
        yield Group(_title(self._address), facts, *self._tenants(room, wide=options.max_width >= _WIDE))

    def _rows(self) -> Iterator[tuple[str, Text]]:
        yield "queue", self._queue()
        yield "engine", self._engine()
        if problem := self._now.statistics.engine.problem:
            yield "", _red(problem)
        yield "tokens", self._tokens()
        yield from self._gpus()
        log = self._now.log
        yield "log", _log(log)
        yield from _troubles(log)

    def _queue(self) -> Text:
        queue = self._now.queue
        taken = f"{queue.running:,} of {queue.places:,} places taken (+{queue.spare_places:,} spare)"
        return Text.assemble(
            (f"{queue.waiting:,} waiting", "yellow" if queue.waiting else ""),
            f"   {taken}   {queue.open:,} of {queue.most_open:,} open",
        )

    def _engine(self) -> Text:
        engine = self._now.statistics.engine
        parts = [("ready", "green") if engine.ready else ("not ready", "red")]
        if engine.ready:
            work = f"{_count(engine.running)} running, {_count(engine.waiting)} waiting"
            parts.append((f"   {work}   KV cache {_percent(engine.kv_cache_usage)}", ""))
        return Text.assemble(*parts)

    def _tokens(self) -> Text:
        engine = self._now.statistics.engine
        answers, prompts = engine.generation_tokens_per_second, engine.prompt_tokens_per_second
        first = "-" if self._first is None else f"{self._first:.2f} s"
        return Text(f"{_count(answers)}/s out, {_count(prompts)}/s in   first token after {first}")

    def _gpus(self) -> Iterator[tuple[str, Text]]:
        statistics = self._now.statistics
        if not statistics.gpus:
            yield "gpu", harmless(statistics.gpu_problem or "none")
        for gpu in statistics.gpus[:_MOST_GPUS]:
            memory = f"{_gib(gpu.memoryUsed)} of {_gib(gpu.memoryTotal)} GiB"
            state = (
                f"{_count(gpu.load)} %   {memory}   {_count(gpu.temperature)} °C   {_count(gpu.power)} W   "
            )
            yield f"gpu {gpu.id}", Text(state) + harmless(gpu.name)
        if (left := len(statistics.gpus) - _MOST_GPUS) > 0:
            yield "", Text(f"and {left} more GPUs", "dim")

    def _tenants(self, room: int | None, *, wide: bool) -> Iterator[RenderableType]:
        tenants, others = self._now.queue.tenants, self._now.queue.other_tenants
        if room is not None and len(tenants) + (others > 0) > room:
            room = max(room - 1, 0)
        shown = tenants[:room]
        table = Table(box=None, pad_edge=False, expand=True)
        table.add_column("tenant", no_wrap=True, overflow="ellipsis", ratio=1)
        columns = _COLUMNS if wide else [name for name in _COLUMNS if not name.startswith("tokens")]
        for name in columns:
            table.add_column(name, justify="right", no_wrap=True)
        for tenant in shown:
            cells = dict(zip(_COLUMNS, self._of_tenant(tenant), strict=True))
            table.add_row(harmless(tenant.tenant), *(cells[name] for name in columns))
        yield Text("")
        yield table if tenants else Text("no tenant has asked for anything yet", "dim")
        if left := len(tenants) - len(shown) + others:
            yield Text(f"and {left:,} more", "dim")

    def _of_tenant(self, tenant: Tenant) -> Iterator[Text]:
        before = {one.tenant: one for one in self._before.queue.tenants} if self._before else {}
        earlier = before.get(tenant.tenant)
        seconds = self._now.at - self._before.at if self._before else 0.0
        # Counts that were estimated while a generation ran are set right at its end: that is no rate below nothing.
        grown = (
            rate(earlier.answer_tokens, max(tenant.answer_tokens, earlier.answer_tokens), seconds)
            if earlier
            else None
        )
        yield Text(f"{tenant.waiting:,}", "yellow" if tenant.waiting else "")
        for count in (tenant.running, tenant.prompt_tokens, tenant.answer_tokens):
            yield Text(f"{count:,}")
        yield Text(_count(grown))


def away(address: str, problem: str) -> Group:
    """The frame where there is no gateway."""
    return Group(_title(address), Text(problem, "red"), Text("Looking again every second.", "dim"))


def rate(before: float | None, now: float | None, seconds: float) -> float | None:
    """How much a second a counter grew; None where it is not told, began anew, or was not looked at for long."""
    if before is None or now is None or now < before or not 0 < seconds <= _LONGEST_SECONDS:
        return None
    return (now - before) / seconds


def _title(address: str) -> Text:
    return Text.assemble(("zephyr top", "bold"), f"  {address}  {time.strftime('%H:%M:%S')}")


def _log(log: Log) -> Text:
    parts = [(f"{log.committed:,} committed, {log.waiting:,} being written", "")]
    for name, count, style in (
        ("spooled", log.spooled, "yellow"),
        ("refused", log.refused, "red"),
        ("lost", log.lost, "red"),
    ):
        parts += [(", ", ""), (f"{count:,} {name}", style if count else "")]
    return Text.assemble(*parts)


def _troubles(log: Log) -> Iterator[tuple[str, Text]]:
    if log.database_away_since:
        yield "", _red(f"PostgreSQL is away for {_age(log.database_away_since)}")
    if log.oldest_unshipped:
        yield "", Text(f"the oldest in the spool waits for {_age(log.oldest_unshipped)}", "yellow")
    if log.spool_problem:
        yield "", _red(f"the spool cannot be used: {log.spool_problem}")


def _red(text: str) -> Text:
    return Text(harmless(text).plain, "red")


def _age(moment: str) -> str:
    try:
        seconds = (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()
    except (ValueError, TypeError):
        return "an unknown time"
    return f"{seconds:,.0f} s" if seconds < 600 else f"{seconds / 60:,.0f} min"


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share * 100:.0f} %"


def _gib(mib: int | None) -> str:
    return "-" if mib is None else f"{mib / _MIB_IN_GIB:.1f}"
