"""The gateway's settings: what cannot be used is refused by name, and nothing is taken to mean what it does not."""

from pathlib import Path

import pytest

from adapters.settings import BadSettings, ServerSettings, Settings

URL = "postgresql://zephyr:hunter2@db/zephyr"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ZEPHYR_ALLOWED_ORIGINS", "*"),
        ("ZEPHYR_ALLOWED_ORIGINS", "http://a.example,*"),
        ("ZEPHYR_ALLOWED_HOSTS", "*"),
        ("ZEPHYR_ALLOWED_HOSTS", "http://hunter2.example"),
        ("ZEPHYR_ALLOWED_HOSTS", "hunter2.example:8000"),
        ("ZEPHYR_ENGINE_TRIES", "0"),
        ("ZEPHYR_ENGINE_METRICS_URLS", "unix:/run/a.sock,ftp://hunter2"),
        ("ZEPHYR_ENGINE_METRICS_URLS", "http://user:hunter2@engine:8001"),
        ("ENGINE_URL", "http://hunter2:65536"),
        ("ENGINE_URL", "http://hunter2:0"),
        ("ENGINE_URL", "http://engine:hunter2"),
        ("ENGINE_URL", "http://user:hunter2@engine:8001"),
        ("ENGINE_URL", "http://hunter2@engine:8001"),
        ("ENGINE_URL", "http://:8001"),
        ("ENGINE_URL", "http://[hunter2:8001"),
        ("ZEPHYR_LIMITS_URL", "http://hunter2"),
        ("ZEPHYR_LIMITS_URL", "redis://"),
        ("ZEPHYR_LIMITS_URL", "rediss:///hunter2"),
        ("ZEPHYR_BODY_TIMEOUT", "inf"),
        ("ZEPHYR_BODY_TIMEOUT", "nan"),
        ("ZEPHYR_DRAIN_SECONDS", "inf"),
        ("ZEPHYR_ENGINE_IDLE_TIMEOUT", "nan"),
        ("ZEPHYR_LOG_COMMIT_DEADLINE", "inf"),
        ("ZEPHYR_BLACK_TIMEOUT", "inf"),
        ("ZEPHYR_TRACES_ENDPOINT", "http://hunter2:4318"),  # without the path
        ("ZEPHYR_TRACES_ENDPOINT", "grpc://hunter2:4317/v1/traces"),
        ("ZEPHYR_TRACES_ENDPOINT", "http://me:hunter2@collector/v1/traces"),
        ("ZEPHYR_TRACES_RATIO", "1.1"),
        ("ZEPHYR_TRACES_QUEUE_LIMIT", "0"),
        ("ZEPHYR_ENGINE_HANG_SECONDS", "10"),  # no more than the time after which it is asked
    ],
)
def test_value_that_cannot_be_used_is_refused_by_its_variable(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(BadSettings) as refused:
        Settings.read()
    assert str(refused.value).startswith(f"{variable}: ")
    assert "hunter2" not in str(refused.value)


def test_empty_variables_count_as_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = Settings.read()
    for variable in (
        "DATABASE_URL",
        "ENGINE_URL",
        "ZEPHYR_PORT",
        "ZEPHYR_ALLOWED_ORIGINS",
        "ZEPHYR_ALLOWED_HOSTS",
    ):
        monkeypatch.setenv(variable, "")
    assert Settings.read() == bare


@pytest.mark.parametrize(
    "url", ["http://engine", "http://10.0.0.1:65535/", "http://[::1]:8001", "unix:/run/a.sock"]
)
def test_addresses_of_engines_are_taken(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_URL", url)
    assert Settings.read().engine.engine_url == url


def test_addresses_of_figures_are_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEPHYR_ENGINE_METRICS_URLS", "unix:/run/a.sock, http://b:8001,")
    assert Settings.read().engine.engine_metrics_urls == ("unix:/run/a.sock", "http://b:8001")


def test_origins_are_taken_as_browsers_send_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser's origin has no slash at its end."""
    monkeypatch.setenv("ZEPHYR_ALLOWED_ORIGINS", "http://localhost:3000/, https://a.example")
    assert Settings.read().server.allowed_origins == ("http://localhost:3000", "https://a.example")


@pytest.mark.parametrize(
    ("given", "checked"),
    [
        ({}, {"localhost", "127.0.0.1", "[::1]"}),
        ({"host": "localhost"}, {"localhost", "127.0.0.1", "[::1]"}),
        ({"host": "127.0.0.2"}, {"localhost", "127.0.0.1", "[::1]", "127.0.0.2"}),
        ({"host": "::1"}, {"localhost", "127.0.0.1", "[::1]"}),
        ({"allowed_hosts": "API.example"}, {"localhost", "127.0.0.1", "[::1]", "api.example"}),
        ({"host": "0.0.0.0"}, None),
        ({"host": "gateway.example"}, None),
        ({"host": "::", "allowed_hosts": "a"}, {"localhost", "127.0.0.1", "[::1]", "[::]", "a"}),
    ],
)
def test_names_that_are_checked(given: dict[str, str], checked: set[str] | None) -> None:
    assert ServerSettings(**given).hosts_to_check() == checked  # type: ignore[arg-type]


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_secret_may_be_in_a_file(end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As container engines hand it over; an editor's last line end is not part of it."""
    file = tmp_path / "secret"
    file.write_text(URL + end, newline="")
    monkeypatch.setenv("DATABASE_URL_FILE", str(file))
    settings = Settings.read()
    assert settings.log.database_url.get_secret_value() == URL
    assert "database_url" in settings.log.model_fields_set
    assert "hunter2" not in repr(settings)


def test_variable_that_holds_the_secret_comes_before_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the host gives the gateway a database of its own, with the file named in what both inherit."""
    monkeypatch.setenv("DATABASE_URL", URL)
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "nothing"))
    assert Settings.read().log.database_url.get_secret_value() == URL


@pytest.mark.parametrize("variable", ["DATABASE_URL_FILE", "ZEPHYR_LIMITS_URL_FILE"])
@pytest.mark.parametrize(
    "content", [None, b"", b"\n", b"hunter2\nhunter2\n", b"hunter2\0", b"\xff", b"hunter2" * 1000]
)
def test_file_of_a_secret_that_cannot_be_used_is_refused_by_its_variable(
    variable: str, content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its place nor what it holds is told."""
    file = tmp_path / "hunter2"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv(variable, str(file))
    monkeypatch.setenv("ZEPHYR_PORT", "eighty")
    with pytest.raises(BadSettings) as refused:
        Settings.read()
    assert f"{variable}: the file" in str(refused.value)
    assert "ZEPHYR_PORT: " in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_what_a_file_holds_is_judged_like_what_a_variable_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And refused by the setting's name."""
    file = tmp_path / "secret"
    file.write_text("http://hunter2")
    monkeypatch.setenv("ZEPHYR_LIMITS_URL_FILE", str(file))
    with pytest.raises(BadSettings, match="ZEPHYR_LIMITS_URL: ") as refused:
        Settings.read()
    assert "hunter2" not in str(refused.value)
