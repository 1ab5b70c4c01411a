"""What commands say to a person: texts of others, and what is foreseen to go wrong."""
# ruff: noqa: PLC0415  # what is heavy is imported by the command that runs, so that `--help` is quick

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.text import Text


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


def harmless(text: str) -> Text:
    """The text with whatever a terminal might obey, or cannot print, replaced."""
    return Text(
        "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text)
    )
