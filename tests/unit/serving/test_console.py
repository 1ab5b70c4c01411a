"""What is shown where the output is no terminal."""

import io
import json

import pytest
from rich.console import Console

from serving.console import LiveDisplay, PlainDisplay, display


def lines(*said: str) -> list[str]:
    output = io.StringIO()
    with PlainDisplay(Console(file=output)) as shown:
        for text in said:
            shown.tell("engine", "busy", text)
    return output.getvalue().splitlines()


def test_each_thing_said_is_a_line() -> None:
    """With the part and the sentence."""
    (line,) = lines("loading the model")
    assert line.endswith("engine     loading the model")


def test_counting_percentage_does_not_flood_a_log() -> None:
    """Lines that differ only in a number are shown now and then."""
    assert len(lines(*(f"loading weights, {percent} %" for percent in range(100)))) == 1


def test_markup_in_a_message_is_text() -> None:
    """What a child printed is shown as it is."""
    assert lines("[bold]not ours[/bold]")[0].endswith("[bold]not ours[/bold]")


def test_terminal_gets_a_live_table() -> None:
    """It has a row for each part, and troubles stay above it."""
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=100)
    shown = display(console)
    assert isinstance(shown, LiveDisplay)
    with shown:
        shown.tell("postgres", "ready", "ready after 1.0 s")
        shown.tell("engine", "trouble", "ended by itself")
    assert "✗ engine: ended by itself" in output.getvalue()
    assert "ready after 1.0 s" in output.getvalue()


def test_output_that_is_no_terminal_gets_plain_lines() -> None:
    """A log file or a pipe."""
    assert isinstance(display(Console(file=io.StringIO())), PlainDisplay)


def test_what_is_said_is_json_where_that_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    """A trouble of many lines is one line."""
    with display(Console(file=io.StringIO()), "json") as shown:
        shown.tell("engine", "trouble", "ended by itself:\n    the reason")
    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert (told["service"], told["part"], told["level"]) == ("host", "engine", "error")
    assert told["event"].endswith("the reason")
