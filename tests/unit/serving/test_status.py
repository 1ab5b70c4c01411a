"""What `zephyr up` writes down of itself."""

from pathlib import Path

import pytest

from serving.reporting import Kind
from serving.settings import Settings
from serving.status import NotRunning, Status, read, written


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(home=tmp_path, replicas=2)  # type: ignore[call-arg]  # the rest has defaults
    made.run.mkdir()
    return made


def ignore(part: str, kind: Kind, text: str) -> None:
    """Nobody watches."""


def test_what_each_part_said_last_can_be_read_while_it_runs(settings: Settings) -> None:
    """The first line of it, for a table; the whole goes on to whoever watches."""
    heard: list[str] = []
    with written(settings, lambda part, kind, text: heard.append(text)) as tell:
        tell("engine-0", "busy", "loading")
        tell("engine-0", "trouble", "ended:\n    its last lines")
        found: Status = read(settings)
    part = found.parts["engine-0"]
    assert (part.kind, part.text, found.engines) == ("trouble", "ended:", 2)
    assert heard == ["loading", "ended:\n    its last lines"]


def test_what_has_ended_is_not_told_of_as_running(settings: Settings) -> None:
    """Neither after an orderly end nor where its file was left."""
    with pytest.raises(NotRunning, match=str(settings.home)):
        read(settings)
    with written(settings, ignore) as tell:
        tell("gateway", "ready", "there")
        left = (settings.run / "status.json").read_text()
    with pytest.raises(NotRunning):
        read(settings)
    (settings.run / "status.json").write_text(left)
    with pytest.raises(NotRunning):
        read(settings)


def test_a_second_one_of_the_same_home_leaves_the_first_ones_words(settings: Settings) -> None:
    """Both may run where nothing of theirs is here."""
    with written(settings, ignore) as first, written(settings, ignore) as second:
        first("gateway", "ready", "the first")
        second("gateway", "ready", "the second")
        assert read(settings).parts["gateway"].text == "the first"
