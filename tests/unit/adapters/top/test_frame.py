"""A frame of `zephyr top`: what stands in it, in any width and height, and what it does not let through."""

import dataclasses
import io
from typing import Any

import msgspec
import pytest
from rich.cells import cell_len
from rich.console import Console

from adapters.top.frame import Frame, away, rate
from adapters.top.looking import Engine, Gpu, Log, Look, Queue, Statistics, Tenant

LOG = Log(
    committed=12_345,
    spooled=0,
    refused=0,
    lost=0,
    waiting=2,
    oldest_unshipped=None,
    database_away_since=None,
    spool_problem=None,
)
ENGINE = Engine(
    ready=True,
    problem=None,
    running=11,
    waiting=1,
    kv_cache_usage=0.6,
    prompt_tokens_per_second=0.0,
    generation_tokens_per_second=1300.4,
    time_to_first_token_seconds=0.312,
)
GPU = Gpu(
    id=0, name="NVIDIA L40S", load=None, memoryUsed=None, memoryTotal=46_068, temperature=None, power=None
)
NONE = Statistics(gpus=[], gpu_problem="There is no NVIDIA GPU.", engine=ENGINE)


def tenant(name: str, **figures: int) -> Tenant:
    return Tenant(
        tenant=name, **({"running": 0, "waiting": 0, "prompt_tokens": 0, "answer_tokens": 0} | figures)
    )


def queue(*tenants: Tenant, **figures: int) -> Queue:
    usual = {"open": 19, "most_open": 1024, "waiting": 8, "running": 11, "places": 16, "spare_places": 2}
    return Queue(tenants=[*tenants], **({"other_tenants": 0} | usual | figures))


def seen(*tenants: Tenant, at: float = 100.0, **changes: Any) -> Look:
    look = Look(at=at, queue=queue(*tenants), log=LOG, statistics=NONE)
    return dataclasses.replace(look, **changes)


def drawn(
    now: Look, before: Look | None = None, *, width: int = 80, height: int = 24, terminal: bool = True
) -> list[str]:
    output = io.StringIO()
    console = Console(
        file=output, width=width, height=height, force_terminal=terminal, color_system=None, highlight=False
    )
    console.print(Frame("127.0.0.1:8002", now, before, now.statistics.engine.time_to_first_token_seconds))
    return output.getvalue().splitlines()


def line(lines: list[str], label: str) -> str:
    (found,) = (one for one in lines if one.startswith(label))
    return found


def test_everything_has_its_line() -> None:
    """Queue and places, engine, tokens, GPU, log, tenants."""
    lines = drawn(seen(tenant("alice", running=11, waiting=8, prompt_tokens=1234, answer_tokens=56)))
    assert "8 waiting   11 of 16 places taken (+2 spare)   19 of 1,024 open" in line(lines, "queue")
    assert "ready   11 running, 1 waiting   KV cache 60 %" in line(lines, "engine")
    assert "12,345 committed, 2 being written, 0 spooled, 0 refused, 0 lost" in line(lines, "log")
    assert line(lines, "alice").split() == ["alice", "8", "11", "1,234", "56", "-"]
    assert "1,300/s out, 0/s in   first token after 0.31 s" in line(lines, "tokens")
    assert "There is no NVIDIA GPU." in line(lines, "gpu")


def test_rate_of_a_tenant_is_that_between_two_looks() -> None:
    """And none is made up: of one look, of looks that lie far apart; nor is one below nothing."""
    before = seen(tenant("alice", answer_tokens=50))
    now = seen(tenant("alice", answer_tokens=150), tenant("new", answer_tokens=5), at=102.0)
    assert line(drawn(now, before), "alice").split()[-1] == "50"
    assert line(drawn(now, before), "new").split()[-1] == "-"
    assert line(drawn(now), "alice").split()[-1] == "-"
    assert line(drawn(dataclasses.replace(now, at=161.0), before), "alice").split()[-1] == "-"
    estimated = seen(tenant("alice", answer_tokens=151))  # while it ran
    assert line(drawn(dataclasses.replace(now, at=101.0), estimated), "alice").split()[-1] == "0"
    assert (rate(1.0, 2.0, 0.0), rate(2.0, 1.0, 1.0), rate(None, 1.0, 1.0)) == (None, None, None)


def test_each_gpu_has_a_line() -> None:
    """With a dash for what it does not tell; of very many the first eight."""
    told = {"id": 1, "load": 97.0, "memoryUsed": 41_472, "temperature": 71, "power": 289.4}
    gpus = [GPU, msgspec.structs.replace(GPU, **told)] + [GPU] * 8
    lines = drawn(seen(statistics=msgspec.structs.replace(NONE, gpus=gpus)))
    assert "97 %   40.5 of 45.0 GiB   71 °C   289 W   NVIDIA L40S" in line(lines, "gpu 1")
    assert "- %   - of 45.0 GiB   - °C   - W" in "\n".join(lines)
    assert sum(one.startswith("gpu ") for one in lines) == 8
    assert any("and 2 more GPUs" in one for one in lines)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"database_away_since": "2026-01-01T00:00:00Z"}, "PostgreSQL is away for"),
        (
            {"oldest_unshipped": "2026-01-01T00:00:00+00:00", "spooled": 7},
            "the oldest in the spool waits for",
        ),
        (
            {"spool_problem": "disk full\x1b[2J"},
            "the spool cannot be used: disk full\N{REPLACEMENT CHARACTER}[2J",
        ),
    ],
)
def test_trouble_of_the_log_is_said(changes: dict[str, Any], said: str) -> None:
    """In words, so that it needs no colour."""
    lines = drawn(seen(log=msgspec.structs.replace(LOG, **changes)))
    assert any(said in one for one in lines)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"ready": False, "problem": "The engine cannot be reached."},
            "not ready|The engine cannot be reached.",
        ),
        ({"problem": "1 of 2 engines are ready."}, "KV cache 60 %|1 of 2 engines are ready."),
        (
            {"running": None, "waiting": None, "kv_cache_usage": None},
            "ready   - running, - waiting   KV cache -",
        ),
    ],
)
def test_trouble_of_the_engine_is_said(changes: dict[str, Any], said: str) -> None:
    """With what the gateway knows of it, and without figures of an engine that is not there."""
    engine = msgspec.structs.replace(ENGINE, **changes)
    lines = [one.rstrip() for one in drawn(seen(statistics=msgspec.structs.replace(NONE, engine=engine)))]
    first, _, second = said.partition("|")
    place = lines.index(line(lines, "engine"))
    assert lines[place].endswith(first)
    assert lines[place + 1].strip().startswith(second or "tokens")
    assert ("running" in lines[place]) == engine.ready


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 50), (60, 12), (40, 10)])
def test_frame_fits_the_terminal(width: int, height: int) -> None:
    """No line is wider, and none falls off the end but on a terminal without room for any."""
    many = seen(*(tenant(f"tenant-{number}-{'long' * 12}", waiting=3) for number in range(50)))
    lines = drawn(many, many, width=width, height=height)
    assert max(cell_len(one) for one in lines) <= width
    assert len(lines) <= max(height, 10)


def test_narrow_terminal_shows_what_matters_most() -> None:
    """The labels, the names, who waits and who runs; the sums of tokens are left out."""
    look = seen(tenant("alice", waiting=3, running=2, prompt_tokens=10**9, answer_tokens=10**9))
    lines = drawn(look, width=48)
    assert line(lines, "queue ")
    assert line(lines, "tenant").split() == ["tenant", "waiting", "running", "out/s"]
    assert line(lines, "alice").split() == ["alice", "3", "2", "-"]


def test_tenants_that_do_not_fit_are_counted() -> None:
    """On a terminal; elsewhere there is room for all that are told."""
    look = seen(*(tenant(f"tenant-{number}") for number in range(50)))
    look = dataclasses.replace(look, queue=msgspec.structs.replace(look.queue, other_tenants=7))
    on_terminal, in_pipe = drawn(look), drawn(look, terminal=False)
    shown = sum(one.startswith("tenant-") for one in on_terminal)
    assert len(on_terminal) <= 24
    assert any(f"and {50 - shown + 7} more" in one for one in on_terminal)
    assert sum(one.startswith("tenant-") for one in in_pipe) == 50
    assert any("and 7 more" in one for one in in_pipe)


def test_without_colour_nothing_is_lost() -> None:
    """What is coloured is said in words as well, and a pipe gets no codes."""
    output = io.StringIO()
    Console(file=output, width=80).print(Frame("127.0.0.1:8002", seen(), None, None))
    assert "\x1b" not in output.getvalue()
    assert "ready" in output.getvalue()


def test_names_do_not_steer_the_terminal() -> None:
    """Whatever answers there: codes and markup are text."""
    lines = drawn(seen(tenant("\x1b]0;owned\x07[bold]x[/bold]")))
    assert not {"\x1b", "\x07"} & set("".join(lines))
    assert any("[bold]x[/bold]" in one for one in lines)


def test_absence_is_said_with_the_address() -> None:
    """And that it goes on."""
    output = io.StringIO()
    Console(file=output, width=80).print(away("127.0.0.1:8002", "No gateway answers."))
    assert "127.0.0.1:8002" in output.getvalue()
    assert "No gateway answers." in output.getvalue()
    assert "again" in output.getvalue()
