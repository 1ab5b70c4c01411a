"""Settings: read once, and refused by the name of their variable."""

from pathlib import Path

import pytest

from serving import settings
from serving.errors import BadSettings
from serving.settings import Settings


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ZEPHYR_PORT", "eighty"),
        ("ZEPHYR_PORT", "70000"),
        ("ZEPHYR_START_TRIES", "0"),
        ("ZEPHYR_ENGINE_KV_CACHE_GIB", "-1"),
        ("ZEPHYR_ENGINE_MAX_MODEL_LEN", "3"),
        ("ZEPHYR_STOP_SECONDS", "soon"),
        ("ZEPHYR_HOME", "/" + "long/" * 20),
        ("ENGINE_URL", "localhost:8001"),
        ("ZEPHYR_TRACES_ENDPOINT", "http://me:hunter2@collector/v1/traces"),
        ("ZEPHYR_LOG_FORMAT", "xml"),
        ("ZEPHYR_REPLICAS", "0"),
    ],
)
def test_bad_value_is_refused_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """The message names the variable, and never repeats the value."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(BadSettings) as caught:
        Settings.read()
    assert str(caught.value).startswith(f"{variable}: ")
    assert f"'{value}'" not in str(caught.value)


def test_every_bad_value_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has three mistakes learns of three."""
    for variable in ("ZEPHYR_PORT", "ZEPHYR_START_SECONDS", "ENGINE_URL"):
        monkeypatch.setenv(variable, "?")
    with pytest.raises(BadSettings) as caught:
        Settings.read()
    assert len(str(caught.value).splitlines()) == 3


def test_empty_variable_is_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compose file passes unset variables on as empty ones."""
    monkeypatch.setenv("ZEPHYR_MODEL", "")
    monkeypatch.setenv("ENGINE_URL", "")
    assert Settings.read().model is None
    assert Settings.read().engine_url is None


def test_password_of_the_database_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither repr nor str carries it."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hunter2@db/zephyr")
    assert "hunter2" not in repr(Settings.read()) + str(Settings.read())


def test_more_arguments_are_split_as_a_shell_would(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quoted argument stays whole."""
    monkeypatch.setenv("ZEPHYR_ENGINE_EXTRA_ARGS", """--load-format dummy --hf-overrides '{"a": 1}'""")
    assert Settings.read().engine_extra_args == ("--load-format", "dummy", "--hf-overrides", '{"a": 1}')


def test_every_socket_fits_into_the_longest_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit on the home leaves room for the longest socket in it."""
    room = settings.SOCKET_PATH_LIMIT - len(settings.LONGEST_SOCKET_NAME)
    monkeypatch.setenv("ZEPHYR_HOME", "/" + "x" * (room - 1))
    home = Settings.read().home
    sockets = [home / "postgres" / ".s.PGSQL.5432.lock", home / "run" / "engine.99999.sock"]
    assert all(len(bytes(socket)) <= settings.SOCKET_PATH_LIMIT for socket in sockets)
    monkeypatch.setenv("ZEPHYR_HOME", "/" + "x" * room)
    with pytest.raises(BadSettings):
        Settings.read()


def test_settings_cannot_be_changed() -> None:
    """What was read is what holds."""
    with pytest.raises(ValueError, match="frozen"):
        Settings.read().port = 1


@pytest.mark.parametrize(("user", "home"), [(0, "/var/lib/zephyr"), (1000, "~/.local/share/zephyr")])
def test_state_lies_where_the_system_expects_it(
    monkeypatch: pytest.MonkeyPatch, user: int, home: str
) -> None:
    """Root's in the system's place, a user's in their own."""
    monkeypatch.setattr("os.geteuid", lambda: user)
    assert Settings.read().home == Path(home).expanduser()


def test_database_may_be_named_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable itself comes first."""
    file = tmp_path / "secret"
    file.write_text("postgresql://me:hunter2@db/zephyr\n")
    monkeypatch.setenv("DATABASE_URL_FILE", str(file))
    found = Settings.read().database_url
    assert found is not None and found.get_secret_value() == "postgresql://me:hunter2@db/zephyr"
    monkeypatch.setenv("DATABASE_URL", "postgresql://other/zephyr")
    found = Settings.read().database_url
    assert found is not None and found.get_secret_value() == "postgresql://other/zephyr"


@pytest.mark.parametrize("content", [None, b"", b"a\nb", b"\xff"])
def test_file_that_cannot_be_used_is_refused_by_its_variable(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No embedded database is run in its place."""
    file = tmp_path / "hunter2"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("DATABASE_URL_FILE", str(file))
    with pytest.raises(BadSettings, match=r"^DATABASE_URL_FILE: the file") as refused:
        Settings.read()
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("others", "variable"),
    [
        ({"ENGINE_URL": "http://elsewhere:8001"}, "ZEPHYR_REPLICAS"),
        ({"ZEPHYR_ENGINE_PORT": "65535"}, "ZEPHYR_ENGINE_PORT"),
    ],
)
def test_several_engines_are_refused_where_they_cannot_be(
    monkeypatch: pytest.MonkeyPatch, others: dict[str, str], variable: str
) -> None:
    """Rather than that one of the settings is passed over."""
    for name, value in (others | {"ZEPHYR_REPLICAS": "2"}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadSettings, match=f"^{variable}: "):
        Settings.read()
