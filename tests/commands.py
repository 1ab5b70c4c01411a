"""The gateway's commands, run in this process: starting one takes longer than most of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from typer.testing import CliRunner, Result

from adapters.cli import app
from adapters.observability import logs


@contextmanager
def no_logs_of_its_own() -> Iterator[None]:
    """A command sets up the logs of its process, which this is not."""
    with patch.object(logs, "configure"):
        yield


def run_command(*arguments: object, answer: str | None = None, **environment: str) -> Result:
    """Run one with these arguments and variables; `answer` is what is typed."""
    with no_logs_of_its_own():
        return CliRunner(env=environment).invoke(app, [str(one) for one in arguments], input=answer)
