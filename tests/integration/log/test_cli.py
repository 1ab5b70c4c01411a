"""The gateway's commands, as processes of their own."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from adapters.conversations.partitions import first_id
from adapters.conversations.writer import ExchangeWriter
from tests.databases import PostgresServer, fetch, log_settings
from tests.integration.log.months import month
from tests.records import an_exchange

ROOT = Path(__file__).parents[3]
_BETWEEN = f"('{first_id(month(-1))}') TO ('{first_id(month(1))}')"
STEERING = "\x1b]0;owned\x07 [red]not markup[/red] \u202e"


async def test_the_log_is_read_as_lines_of_json(writer: ExchangeWriter, database_url: str) -> None:
    """Newest first, as many as asked for, of one conversation where asked, over several pages."""
    exchanges = [an_exchange() for _ in range(105)]
    for durable in [writer.commit(exchange) for exchange in exchanges]:
        await durable
    ids = [str(exchange.id) for exchange in reversed(exchanges)]
    assert _ids(_run("log", "list", "--json", DATABASE_URL=database_url)) == ids[:20]
    assert _ids(_run("log", "list", "--json", "--limit", "200", DATABASE_URL=database_url)) == ids
    one = str(exchanges[3].conversation_id)
    assert _ids(_run("log", "list", "--json", "--conversation", one, DATABASE_URL=database_url)) == [one]


async def test_one_exchange_is_shown(writer: ExchangeWriter, database_url: str) -> None:
    """By the id its client got; as JSON word for word, and for a person without letting it steer the terminal."""
    said = json.dumps([{"role": "user", "content": STEERING}], ensure_ascii=True).encode()
    exchange = an_exchange(input=said)
    await writer.commit(exchange)
    id = f"chatcmpl-{exchange.id.hex}"
    assert said.decode() in _run("log", "show", id, "--json", DATABASE_URL=database_url).stdout
    for command in (("show", id), ("list",)):
        shown = _run("log", *command, DATABASE_URL=database_url).stdout
        assert str(exchange.id) in shown
        assert "\x1b" not in shown
        assert "\x07" not in shown
        assert "\u202e" not in shown
    assert "[red]not markup[/red]" in _run("log", "show", id, DATABASE_URL=database_url).stdout


async def test_the_running_stacks_database_is_found(own_postgres: PostgresServer) -> None:
    """Without DATABASE_URL, the log is that of the stack that runs in this home."""
    writer = ExchangeWriter(log_settings(own_postgres.url))
    await writer.start()
    exchange = an_exchange()
    await writer.commit(exchange)
    await writer.close()
    found = _run("log", "list", "--json", "--limit", "1", ZEPHYR_HOME=str(own_postgres.home))
    assert _ids(found) == [str(exchange.id)]


def test_what_is_not_there_is_said_in_a_sentence(database_url: str, tmp_path: Path) -> None:
    """An unknown id, an impossible one, an absent database, a URL that is none: no traceback, no password."""
    unknown = "01a20420-cae9-77eb-9f3c-56422fdc725e"
    away = f"postgresql://nobody:hidden@/nothing?host={tmp_path}"
    for arguments, url, code, words in (
        (("log", "show", unknown), database_url, 1, "no such exchange"),
        (("log", "show", "nothing"), database_url, 2, "not the id"),
        (("log", "list"), away, 1, "cannot be read"),
        (("migrate", "--wait", "0.5"), away, 1, "does not answer"),
        (("migrate",), "postgresql://nobody:hid/den@host:port/x", 2, "DATABASE_URL"),
    ):
        ended = _run(*arguments, DATABASE_URL=url)
        assert ended.returncode == code, ended.stderr
        assert words in ended.stderr
        assert "Traceback" not in ended.stderr
        assert "hid" not in ended.stderr


async def test_migrating_makes_the_table(empty_database_url: str) -> None:
    """Once or more."""
    for _ in range(2):
        ended = _run("migrate", DATABASE_URL=empty_database_url)
        assert (ended.returncode, ended.stdout) == (0, "The database is up to date.\n")
    assert await fetch(empty_database_url, "SELECT FROM exchanges") == []


async def test_what_would_go_is_shown_and_goes(writer: ExchangeWriter, database_url: str) -> None:
    """Without the setting nothing goes; with it, what the dry run has shown, and no more."""
    await fetch(database_url, "ALTER TABLE exchanges DETACH PARTITION exchanges_first")
    for name, bounds in (("first", f"(MINVALUE) TO ('{first_id(month(-1))}')"), ("between", _BETWEEN)):
        new = f"CREATE TABLE exchanges_{name} PARTITION OF exchanges FOR VALUES FROM {bounds}"
        attached = f"ALTER TABLE exchanges ATTACH PARTITION exchanges_{name} FOR VALUES FROM {bounds}"
        await fetch(database_url, attached if name == "first" else new)
    old, kept = an_exchange(id=first_id(month(-3))), an_exchange()
    for exchange in (old, kept):
        await writer.commit(exchange)
    everything = _run("log", "retain", DATABASE_URL=database_url)
    assert everything.stdout == "Everything is kept: ZEPHYR_LOG_RETENTION_DAYS is not set.\n"
    keeping = {"DATABASE_URL": database_url, "ZEPHYR_LOG_RETENTION_DAYS": "1"}
    shown = _run("log", "retain", "--dry-run", **keeping)
    assert "exchanges_first" in shown.stdout
    assert "exchanges_between" not in shown.stdout
    assert len(await fetch(database_url, "SELECT FROM exchanges")) == 2
    assert "exchanges_first" in _run("log", "retain", **keeping).stdout
    assert [row["id"] for row in await fetch(database_url, "SELECT id FROM exchanges")] == [kept.id]
    assert _run("log", "retain", **keeping).stdout == "Nothing is old enough to go.\n"


def test_help_is_quick() -> None:
    """Nothing heavy is imported to say what there is."""
    began = time.monotonic()
    ended = _run("--help")
    assert ended.returncode == 0
    assert time.monotonic() - began < 2
    heavy = "import sys, adapters.cli; print(sorted({'fastapi', 'sqlalchemy', 'asyncpg', 'alembic'} & set(sys.modules)))"
    loaded = subprocess.run(
        [sys.executable, "-c", heavy], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert loaded.stdout == "[]\n"


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "adapters", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "COLUMNS": "140", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _ids(ended: subprocess.CompletedProcess[str]) -> list[str]:
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line)["id"] for line in ended.stdout.splitlines()]
