"""Showing frames: one after the other for as long as somebody watches, or one."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

from rich.console import Console, RenderableType
from rich.live import Live

from adapters.observability.second_listener import NoGateway, SecondListener
from adapters.top.frame import Frame, away
from adapters.top.looking import Look, look

_SECONDS = 1.0


def show(listener: SecondListener, console: Console) -> None:
    """Show what is seen about once a second, over the whole of a terminal, until Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that the terminal is given back as it was
    with suppress(KeyboardInterrupt), Live(console=console, screen=True, auto_refresh=False) as live:
        for frame in _frames(listener):
            live.update(frame, refresh=True)


def show_once(listener: SecondListener, console: Console) -> None:
    """Look twice, for the rates, and show one frame.

    Raises:
        NoGateway: none answers.
    """
    before = look(listener)
    time.sleep(_SECONDS)
    now = look(listener)
    console.print(Frame(listener.address, now, before, _first_token(now)))


def _frames(listener: SecondListener) -> Iterator[RenderableType]:
    before: Look | None = None
    first: float | None = None
    while True:
        try:
            now = look(listener)
        except NoGateway as error:
            before = first = None
            yield away(listener.address, str(error))
        else:
            first = _first_token(now) or first
            yield Frame(listener.address, now, before, first)
            before = now
        time.sleep(_SECONDS)


def _first_token(now: Look) -> float | None:
    return now.statistics.engine.time_to_first_token_seconds
