"""The host's commands: `zephyr up`, `engine`, `db`, `doctor`. Parsing and showing only."""

import asyncio
import json
import os
from collections.abc import Callable, Coroutine
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from serving import doctor, stack
from serving.console import display
from serving.errors import HostError
from serving.reporting import Tell
from serving.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.command()
def up(
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Need no keys, even where other machines reach the gateway.")
    ] = False,
) -> None:
    """Run everything: PostgreSQL, the gateway and the engine, supervised, until Ctrl-C."""
    if insecure:
        os.environ["ZEPHYR_REQUIRE_KEYS"] = "false"  # what the gateway inherits
    run(stack.up)


@app.command()
def engine() -> None:
    """Run the engine alone: vLLM, checked; prints its ENGINE_URL once it answers rightly."""
    run(lambda settings, tell: stack.engine_alone(settings, tell, announcing("ENGINE_URL")))


@app.command()
def db() -> None:
    """Run the embedded PostgreSQL alone; prints its DATABASE_URL once it is ready."""
    run(lambda settings, tell: stack.database_alone(settings, tell, announcing("DATABASE_URL")))


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


def run(part: Callable[[Settings, Tell], Coroutine[None, None, None]]) -> None:
    """Run a part of the stack to its end; say plainly what went wrong."""
    try:
        settings = Settings.read()
        with display(Console(stderr=True)) as shown:
            asyncio.run(part(settings, shown.tell))
    except asyncio.CancelledError:
        return  # somebody asked to stop, and everything has
    except HostError as error:
        refuse(error)


def announcing(variable: str) -> Callable[[str], None]:
    """What a program that started us reads from our standard output."""
    return lambda url: print(f"{variable}={url}", flush=True)


def refuse(error: HostError) -> NoReturn:
    Console(stderr=True, highlight=False).print(f"zephyr: {error}", style="red", markup=False, soft_wrap=True)
    raise typer.Exit(1)
