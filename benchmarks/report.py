"""Figures of many rounds as medians, ratios and goals."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.measures import Figures

Rounds = Mapping[str, Sequence[Figures]]


@dataclass(frozen=True, kw_only=True)
class Medians:
    """One relay over all rounds; None is what was not measured."""

    start_seconds: float | None
    idle_mb: float | None
    held_mb: float | None
    peak_mb: float | None
    plain_us: float | None
    plain_per_second: float | None
    plain_database_us: float | None
    chunk_us: float | None
    chunk_starved: bool
    """No round reached the asked rate: the figure is of all rounds, and flatters."""
    chunks_per_second: float | None
    fast_chunk_us: float | None
    fast_chunk_starved: bool
    fast_chunks_per_second: float | None
    added_plain_ms: float | None
    """What it adds to the time of a plain answer, one client."""
    added_first_ms: float | None
    added_tail_ms: float | None
    errors: int


def medians(rounds: Sequence[Figures], direct: Sequence[Figures]) -> Medians:
    """The medians of one relay's rounds, and of what it adds to those without a relay."""

    def middle(pick: Callable[[Figures], float | None], among: Sequence[Figures] = rounds) -> float | None:
        values = [value for one in among if (value := pick(one)) is not None]
        return median(values) if values else None

    def added(pick: Callable[[Figures], float | None]) -> float | None:
        own, without = middle(pick), middle(pick, direct)
        return None if own is None or without is None else (own - without) / 1000

    met = [one for one in rounds if one.chunk_rate_met]
    fast_met = [one for one in rounds if one.fast_chunk_rate_met]
    return Medians(
        start_seconds=middle(lambda one: one.start_seconds),
        idle_mb=middle(lambda one: one.idle_mb),
        held_mb=middle(lambda one: one.held_mb),
        peak_mb=middle(lambda one: one.peak_mb),
        plain_us=middle(lambda one: one.plain_us),
        plain_per_second=middle(lambda one: one.plain_per_second),
        plain_database_us=middle(lambda one: one.plain_database_us),
        chunk_us=middle(lambda one: one.chunk_us, met or rounds),
        chunk_starved=not met,
        chunks_per_second=middle(lambda one: one.chunks_per_second),
        fast_chunk_us=middle(lambda one: one.fast_chunk_us, fast_met or rounds),
        fast_chunk_starved=not fast_met,
        fast_chunks_per_second=middle(lambda one: one.fast_chunks_per_second),
        added_plain_ms=added(lambda one: one.plain_p50_us),
        added_first_ms=added(lambda one: one.first_p50_us),
        added_tail_ms=added(lambda one: one.tail_p50_us),
        errors=sum(one.errors for one in rounds),
    )


def tables(rounds: Rounds) -> str:
    """All tables, in Markdown."""
    direct = rounds.get("direct", [])
    all_medians = {name: medians(figures, direct) for name, figures in rounds.items()}
    parts = [
        _cost_table(all_medians),
        _time_table(all_medians),
        _ratio_table(all_medians),
        _goal_table(all_medians),
    ]
    return "\n\n".join(part for part in parts if part)


def line(name: str, one: Figures) -> str:
    """One relay's round in short."""
    return (
        f"{name}: {_number(one.plain_us)} µs a plain request, {_number(one.chunk_us)} µs an event, "
        f"first event after {_number(one.first_p50_us)} µs, {one.errors} errors"
    )


def _cost_table(all_medians: Mapping[str, Medians]) -> str:
    head = [
        "",
        *("CPU µs/request", "requests/s", "PostgreSQL's µs/request"),
        *("CPU µs/event, 64 x 10 ms", "events/s", "CPU µs/event, 64 x 2 ms", "events/s", "errors"),
    ]
    rows = [
        [
            name,
            _number(one.plain_us),
            _number(one.plain_per_second),
            _number(one.plain_database_us) if name == "ours" else "",
            _number(one.chunk_us) + "*" * one.chunk_starved,
            _number(one.chunks_per_second),
            _number(one.fast_chunk_us) + "*" * one.fast_chunk_starved,
            _number(one.fast_chunks_per_second),
            str(one.errors),
        ]
        for name, one in all_medians.items()
    ]
    note = "\n\n`*` the asked rate (6 400 or 32 000 events a second) was reached in no round"
    return table(head, rows) + note


def _time_table(all_medians: Mapping[str, Medians]) -> str:
    head = [
        "",
        *("added to a plain answer, ms", "added to the first event, ms", "added after the last event, ms"),
        *("start, s", "MB idle", "MB with the streams held", "MB at most"),
    ]
    rows = [
        [
            name,
            _number(one.added_plain_ms, 2),
            _number(one.added_first_ms, 2),
            _number(one.added_tail_ms, 2),
            _number(one.start_seconds, 2),
            _number(one.idle_mb),
            _number(one.held_mb),
            _number(one.peak_mb),
        ]
        for name, one in all_medians.items()
        if name != "direct"
    ]
    return table(head, rows)


def _ratio_table(all_medians: Mapping[str, Medians]) -> str:
    ours = all_medians.get("ours")
    if ours is None:
        return ""
    head = ["ours to", "CPU/request", "CPU/event, 10 ms", "CPU/event, 2 ms", "added to the first event"]
    rows = [
        [
            name,
            _times(ours.plain_us, one.plain_us),
            _times(ours.chunk_us, one.chunk_us),
            _times(ours.fast_chunk_us, one.fast_chunk_us),
            _times(ours.added_first_ms, one.added_first_ms),
        ]
        for name, one in all_medians.items()
        if name not in ("ours", "direct")
    ]
    return table(head, rows) if rows else ""


def _goal_table(all_medians: Mapping[str, Medians]) -> str:
    """The goals that were set before anything was built."""
    ours = all_medians.get("ours")
    if ours is None:
        return ""

    def to(name: str, pick: Callable[[Medians], float | None]) -> float | None:
        other = all_medians.get(name)
        return _ratio(pick(ours), pick(other)) if other else None

    rows = [
        _goal(
            "CPU per plain request, to vllm-router",
            to("vllm-router", lambda one: one.plain_us),
            1.0,
            "x",
        ),
        _goal(
            "CPU per streamed event, to vllm-router",
            to("vllm-router", lambda one: one.chunk_us),
            1.1,
            "x",
        ),
        _goal(
            "CPU per plain request, to LiteLLM",
            to("litellm", lambda one: one.plain_us),
            1 / 100,
            "x",
            4,
        ),
        _goal(
            "CPU per streamed event, to LiteLLM",
            to("litellm", lambda one: one.chunk_us),
            1 / 30,
            "x",
            4,
        ),
        _goal(
            "added to the first event, to nginx",
            to("nginx", lambda one: one.added_first_ms),
            3.0,
            "x",
        ),
        _goal("added to the first event", ours.added_first_ms, 1.0, " ms"),
        _goal("added by waiting for the commit", ours.added_tail_ms, 2.0, " ms"),
        _goal("memory with the streams held", ours.held_mb, 100.0, " MB", 0),
        _goal("start to first answer", ours.start_seconds, 1.5, " s"),
    ]
    return table(["goal", "measured", "at most", ""], rows)


def _goal(name: str, measured: float | None, limit: float, unit: str, digits: int = 2) -> list[str]:
    if measured is None:
        return [name, "-", f"{limit:.{digits}f}{unit}", "not measured"]
    reached = "reached" if measured <= limit else "**not reached**"
    return [name, f"{measured:.{digits}f}{unit}", f"{limit:.{digits}f}{unit}", reached]


def _ratio(own: float | None, other: float | None) -> float | None:
    return None if own is None or not other else own / other


def _times(own: float | None, other: float | None) -> str:
    ratio = _ratio(own, other)
    return "-" if ratio is None else f"{ratio:.2f}x" if ratio >= 0.1 else f"1/{1 / ratio:.0f}"


def _number(value: float | None, digits: int = 0) -> str:
    if value is None:
        return "-"
    return f"{value:,.{digits or (1 if abs(value) < 100 else 0)}f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
