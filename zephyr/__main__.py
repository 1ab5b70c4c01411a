"""`zephyr`: the commands of the host and of the gateway, side by side."""

import os
import sys

import typer

from adapters.cli import app as gateway_commands
from serving.cli import app as host_commands
from zephyr.misspelt import misspelt

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Serve zephyr-7b-beta (or what fits this machine) on vLLM, with a log that can be trusted.",
)
app.add_typer(host_commands)
app.add_typer(gateway_commands)


def main() -> None:
    """The console script."""
    for line in misspelt(os.environ):
        print(f"zephyr: {line}", file=sys.stderr)
    app()


if __name__ == "__main__":
    main()
