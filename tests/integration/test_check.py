"""`zephyr check`: each thing that would keep a gateway from starting is found before, by its variable, with what to do."""

import json
import socket
from pathlib import Path

import pytest

from adapters import check
from adapters.database.schema import newest
from tests.acceptance.gateway import free_port
from tests.commands import run_command
from tests.databases import rows
from tests.migration.test_versions import NEXT, NEXT_BUT_ONE
from tests.migration.written_then import WRITTEN
from tests.valkey import ValkeyServer

AWAY = "postgresql://me:hunter2@/nothing?host=/no-such-folder"
Findings = dict[str, tuple[str, str]]


def look(*flags: str, home: Path, **environment: str) -> tuple[int, Findings]:
    own = {"ZEPHYR_HOME": str(home), "ZEPHYR_PORT": "0", "ZEPHYR_ADMIN_PORT": "0"}
    done = run_command("check", "--json", *flags, **own | environment)
    assert "hunter2" not in done.output
    found = json.loads(done.stdout)
    return done.exit_code, {one["subject"]: (one["verdict"], one["text"]) for one in found}


def test_nothing_is_wrong_with_what_would_work(database_url: str, tmp_path: Path) -> None:
    """Everything is named that was looked at, and nothing was made."""
    code, found = look(home=tmp_path, DATABASE_URL=database_url)
    assert code == 0
    assert {name for name, (verdict, _) in found.items() if verdict == "ok"} >= {
        *("settings", "admin port", "spool", "endpoints", "schema", "keys")
    }
    assert found["schema"] == ("ok", newest())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "subject", "words"),
    [
        ({"ZEPHYR_LOG_MODE": "lax"}, "settings", ("ZEPHYR_LOG_MODE",)),
        ({"ZEPHYR_ADMIN_HOST": "0.0.0.0"}, "settings", ("ZEPHYR_ADMIN_HOST", "this machine alone")),
        ({"DATABASE_URL_FILE": "/no-such-file"}, "settings", ("DATABASE_URL_FILE", "cannot be read")),
        ({"ZEPHYR_SPOOL_DIR": "/proc/spool"}, "spool", ("ZEPHYR_SPOOL_DIR", "give a folder")),
        (
            {"ZEPHYR_ENDPOINTS_DIR": "/no-such-folder"},
            "endpoints",
            ("ZEPHYR_ENDPOINTS_DIR", "is not a folder"),
        ),
    ],
)
def test_what_cannot_be_is_found_without_asking_anybody(
    tmp_path: Path, settings: dict[str, str], subject: str, words: tuple[str, ...]
) -> None:
    """The status tells a script, the finding a person."""
    code, found = look("--quick", home=tmp_path, **settings)
    assert (code, found[subject][0]) == (1, "fail")
    assert all(word in found[subject][1] for word in words), found[subject]


def test_ports_are_free_and_two(tmp_path: Path) -> None:
    """The second listener's is neither the first one's nor somebody else's."""
    port = str(free_port())
    code, found = look("--quick", home=tmp_path, ZEPHYR_PORT=port, ZEPHYR_ADMIN_PORT=port)
    assert (code, found["admin port"]) == (
        1,
        ("fail", f"ZEPHYR_ADMIN_PORT: {port} is ZEPHYR_PORT as well; give another"),
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, found = look("--quick", home=tmp_path, ZEPHYR_ADMIN_PORT=str(taken.getsockname()[1]))
    assert (code, "stop what listens there" in found["admin port"][1]) == (1, True)


def test_a_database_that_is_away_or_of_another_schema(
    tmp_path: Path, database_url: str, empty_database_url: str
) -> None:
    """What `zephyr up` mends itself is a note: a database of its own that does not run, and a migration that is due."""
    assert look(home=tmp_path)[1]["schema"] == ("note", "PostgreSQL does not run; `zephyr up` starts it")
    code, found = look(home=tmp_path, DATABASE_URL=AWAY)
    assert (code, found["schema"]) == (1, ("fail", "DATABASE_URL: it does not answer (FileNotFoundError)"))
    code, found = look(home=tmp_path, DATABASE_URL="mysql://x")
    assert (code, "only postgresql://" in found["schema"][1]) == (1, True)
    code, found = look(home=tmp_path, DATABASE_URL=empty_database_url)
    assert (code, found["schema"][0], "run `zephyr migrate`" in found["schema"][1]) == (0, "note", True)
    rows(database_url, f"UPDATE alembic_version SET version_num = '{NEXT_BUT_ONE}'")
    rows(database_url, f"COMMENT ON TABLE alembic_version IS 'gateways from {NEXT}'")
    code, found = look(home=tmp_path, DATABASE_URL=database_url)
    assert (code, found["schema"][0], "start a newer version" in found["schema"][1]) == (1, "fail", True)


def test_other_machines_need_a_key(tmp_path: Path, database_url: str) -> None:
    """Missing, present, or not to be known yet."""
    outward = {"ZEPHYR_HOST": "0.0.0.0"}
    code, found = look(home=tmp_path, DATABASE_URL=database_url, **outward)
    assert (code, found["keys"][0], "zephyr keys create TENANT" in found["keys"][1]) == (1, "fail", True)
    assert look(home=tmp_path, **outward)[1]["keys"][0] == "note"
    for statement in WRITTEN["0008"]:
        rows(database_url, statement)
    rows(database_url, "UPDATE keys SET revoked_at = NULL, expires_at = NULL")
    assert look(home=tmp_path, DATABASE_URL=database_url, **outward)[1]["keys"][0] == "ok"


def test_a_page_that_is_not_built_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that builds it; all else works without."""
    monkeypatch.setattr(check, "_PAGE", tmp_path / "index.html")
    code, found = look(home=tmp_path)
    assert (code, found["page"][0], "setup/page.py" in found["page"][1]) == (0, "note", True)
    (tmp_path / "index.html").touch()
    assert look(home=tmp_path)[1]["page"][0] == "ok"


def test_a_store_of_limits_that_does_not_answer_is_told(tmp_path: Path, database_url: str) -> None:
    """A gateway works without it, and counts for itself: a note, and no failure."""
    given = {"DATABASE_URL": database_url, "ZEPHYR_LIMITS_URL": f"redis://:hunter2@127.0.0.1:{free_port()}"}
    code, found = look(home=tmp_path, **given)
    assert (code, found["limits"][0]) == (0, "note")
    assert "ZEPHYR_LIMITS_URL: it does not answer" in found["limits"][1]
    refused = given | {"ZEPHYR_LIMITS_URL": "redis://localhost:hunter2"}
    assert look(home=tmp_path, **refused)[1]["limits"] == (
        "fail",
        "ZEPHYR_LIMITS_URL: it cannot be used (ValueError)",
    )
    with ValkeyServer(tmp_path) as server:
        assert look(home=tmp_path, **given | {"ZEPHYR_LIMITS_URL": server.url})[1]["limits"][0] == "ok"
