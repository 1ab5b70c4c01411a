"""What a command says to a person where something foreseen goes wrong."""
# ruff: noqa: PLC0415  # what is heavy is imported by the command that runs, so that `--help` is quick

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def plain_errors(*foreseen: type[Exception]) -> Iterator[None]:
    """End with a sentence on standard error where something foreseen goes wrong."""
    from adapters.errors import GatewayError
    from adapters.observability import logs
    from adapters.settings import BadSettings

    logs.configure(logging.WARNING)
    expected: tuple[type[Exception], ...] = (BadSettings, GatewayError, *foreseen)
    try:
        yield
    except expected as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2 if isinstance(error, BadSettings) else 1) from None
