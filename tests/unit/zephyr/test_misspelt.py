"""Which variables are taken for a setting that somebody mistyped."""

import pytest

from adapters.settings import Settings as GatewaySettings
from serving.settings import Settings as HostSettings
from zephyr.__main__ import main
from zephyr.misspelt import misspelt


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("ZEPHYR_PROT", "ZEPHYR_PORT"),
        ("ZEPHYR_LOG_RETENTON_DAYS", "ZEPHYR_LOG_RETENTION_DAYS"),
        ("ZEPHYR_REPLICA", "ZEPHYR_REPLICAS"),
        ("ZEPHYR_REQUIRES_KEYS", "ZEPHYR_REQUIRE_KEYS"),
    ],
)
def test_what_is_nearly_a_setting_is_told_with_what_was_meant(given: str, meant: str) -> None:
    assert list(misspelt([given])) == [f"{given} is no setting and does nothing; {meant} is one"]


def test_settings_and_what_is_somebody_elses_are_not() -> None:
    """`ZEPHYR_KEY` is what the welcome page's examples send, `ZEPHYR_ENGINE_BUILD` is for setting up."""
    others = {"ZEPHYR_KEY", "ZEPHYR_URL", "ZEPHYR_ENGINE_BUILD", "ZEPHYR_COLOUR_OF_MY_PROMPT", "PATH", "POST"}
    assert list(misspelt(GatewaySettings.variables() | HostSettings.variables() | others)) == []


def test_a_command_says_so_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ZEPHYR_PROT", "8001")
    monkeypatch.setattr("sys.argv", ["zephyr", "plan", "--gpu", "L4"])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr()
    assert ended.value.code in (0, None)
    assert "ZEPHYR_PROT is no setting and does nothing; ZEPHYR_PORT is one" in told.err
    assert told.out
