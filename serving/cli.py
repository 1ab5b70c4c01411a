"""The host's commands: `zephyr up`, `engine`, `db`, `status`, `restart`, `doctor`, `plan`. Parsing and showing only."""

import asyncio
import json
import os
import time
from collections.abc import Callable, Coroutine
from enum import StrEnum
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from serving import doctor, journal, stack, status
from serving.capacity import report
from serving.capacity.gpus import SHEETS, one_gpu
from serving.capacity.planning import SHARE, Load, plan
from serving.capacity.shapes import shape_of
from serving.console import display, status_table
from serving.engine.models import ZEPHYR
from serving.engines import NAME as ENGINES
from serving.errors import HostError
from serving.reporting import Tell
from serving.settings import Settings

_LOOK_SECONDS = 0.3

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.command()
def up(
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Need no keys, even where other machines reach the gateway.")
    ] = False,
    replicas: Annotated[
        int | None, typer.Option(min=1, help="Run so many engines, behind vllm-router. [ZEPHYR_REPLICAS]")
    ] = None,
) -> None:
    """Run everything: PostgreSQL, the gateway and the engine or engines, supervised, until Ctrl-C."""
    if replicas is not None:
        os.environ["ZEPHYR_REPLICAS"] = str(replicas)
    if insecure:
        os.environ["ZEPHYR_REQUIRE_KEYS"] = "false"  # what the gateway inherits
    run(stack.up, first=doctor.refuse_what_cannot_run)


@app.command()
def engine() -> None:
    """Run the engine alone: vLLM, checked; prints its ENGINE_URL once it answers rightly."""
    run(lambda settings, tell: stack.engine_alone(settings, tell, announcing("ENGINE_URL")))


@app.command()
def db() -> None:
    """Run the embedded PostgreSQL alone; prints its DATABASE_URL once it is ready."""
    run(lambda settings, tell: stack.database_alone(settings, tell, announcing("DATABASE_URL")))


@app.command(name="status")
def show_status(
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Say what runs with this home: each part of `zephyr up`, each engine of several."""
    try:
        found = status.read(Settings.read())
    except HostError as error:
        refuse(error)
    if as_json:
        print(json.dumps(found.as_json(), indent=2))
    else:
        Console(highlight=False).print(status_table(found, time.time()))
    if any(part.kind != "ready" for part in found.parts.values() if part.kind != "stopped"):
        raise typer.Exit(1)


class Restartable(StrEnum):
    """What can be restarted while everything goes on."""

    ENGINES = "engines"


@app.command()
def restart(
    what: Annotated[Restartable, typer.Argument(help="The engines of `zephyr up`, one after the other.")],
) -> None:
    """Restart what runs with this home, without losing a request."""
    try:
        settings = Settings.read()
        running = status.read(settings)
        if running.engines < 2:
            raise HostError(
                f"{running.engines or 'no'} engine runs there: without another one, requests would be refused "
                "meanwhile. Stop `zephyr up` and start it again."
            )
        asked = time.time()
        os.kill(running.pid, status.RESTART_ENGINES)
        follow_restart(settings, asked)
    except HostError as error:
        refuse(error)


def follow_restart(settings: Settings, asked: float) -> None:
    """Show how it goes, until all are restarted.

    Raises:
        HostError: they are not.
    """
    said = ""
    while True:
        time.sleep(_LOOK_SECONDS)
        part = status.read(settings).parts.get(ENGINES)
        if part is None or part.since < asked or part.text == said:
            continue
        said = part.text
        if part.kind == "trouble":
            raise HostError(said)
        print(f"engines: {said}", flush=True)
        if part.kind == "ready":
            return


@app.command(name="doctor")
def examine(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Look at this machine: what would run, and what would fail."""
    try:
        findings = doctor.examine(Settings.read())
    except HostError as error:
        refuse(error)
    if as_json:
        print(json.dumps([finding.as_json() for finding in findings], indent=2))
    else:
        for finding in findings:
            Console(highlight=False).print(finding.line, style=finding.style, markup=False, soft_wrap=True)
    if any(finding.fails for finding in findings):
        raise typer.Exit(1)


@app.command(name="plan")
def plan_capacity(
    model: Annotated[
        str, typer.Option(help="zephyr-7b-beta, SmolLM2-135M-Instruct, or a folder with a config.json.")
    ] = ZEPHYR.name,
    gpu: Annotated[
        str | None, typer.Option(help=f"One of {', '.join(sheet.name for sheet in SHEETS)}.")
    ] = None,
    gpu_memory: Annotated[
        float | None,
        typer.Option(min=1, max=10_000, help="Or only its memory, in GiB: then nothing is said of speed."),
    ] = None,
    users: Annotated[
        int | None, typer.Option(min=1, max=10**7, help="Requests that are open at once.")
    ] = None,
    requests_per_second: Annotated[
        float | None, typer.Option(min=0.001, max=10**6, help="Or requests that come in a second.")
    ] = None,
    prompt_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a prompt.")] = 512,
    answer_tokens: Annotated[int, typer.Option(min=1, help="Tokens of an answer.")] = 256,
    share: Annotated[
        float,
        typer.Option(min=0.01, max=1, help="Which part of the bounds is planned with; measure your own."),
    ] = SHARE,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Work out how many GPUs a model and a load need, and how to set them up. Nothing is looked at or started."""
    load = Load(prompt=prompt_tokens, answer=answer_tokens, users=users, requests=requests_per_second)
    try:
        made = plan(shape_of(model), one_gpu(gpu, gpu_memory), load, share)
    except HostError as error:
        refuse(error)
    if as_json:
        print(json.dumps(report.as_json(made, model), indent=2))
    else:
        print("\n".join(report.text(made, model)))


def run(
    part: Callable[[Settings, Tell], Coroutine[None, None, None]],
    *,
    first: Callable[[Settings], None] = lambda _: None,
) -> None:
    """Run a part of the stack to its end, if nothing speaks against it `first`; say plainly what went wrong."""
    try:
        settings = Settings.read()
        first(settings)
        with display(Console(stderr=True), settings.log_format) as shown:
            asyncio.run(part(settings, shown.tell))
    except asyncio.CancelledError:
        return  # somebody asked to stop, and everything has
    except HostError as error:
        refuse(error)


@app.command()
def logs(
    request: Annotated[
        str,
        typer.Option(
            "--request",
            metavar="ID",
            help="Only what is about the request with this x-request-id, or with the answer of this id.",
        ),
    ] = "",
) -> None:
    """Print the lines of log of every part on this machine, oldest first, as JSON."""
    try:
        for line in journal.lines(Settings.read(), request):
            print(line)
    except HostError as error:
        refuse(error)


def announcing(variable: str) -> Callable[[str], None]:
    """What a program that started us reads from our standard output."""
    return lambda url: print(f"{variable}={url}", flush=True)


def refuse(error: HostError) -> NoReturn:
    Console(stderr=True, highlight=False).print(f"zephyr: {error}", style="red", markup=False, soft_wrap=True)
    raise typer.Exit(1)
