"""What a gateway that other machines reach needs before it starts, and what it does while PostgreSQL is away."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import NewGateway, migrate
from tests.acceptance.gateway import Gateway, chat
from tests.acceptance.keys import Holder, command, created
from tests.databases import PostgresServer
from tests.fakes.engine import ScriptedEngine

AWAY = "postgresql://nobody@/nothing?host=/no-such-folder"
OUTWARD = {"ZEPHYR_HOST": "0.0.0.0"}


def refusal(gateway: Gateway) -> str:
    """What a gateway says that does not start."""
    gateway.start()
    assert gateway.process.wait(30) == 2, gateway.log_text
    return gateway.log_text


def test_outward_it_does_not_start_without_a_key(new_gateway: NewGateway, database_url: str) -> None:
    """It names the variable, the command and the flag; a key that cannot be used is none. With one it starts."""
    said = refusal(new_gateway(DATABASE_URL=database_url, **OUTWARD))
    for words in ("ZEPHYR_HOST", "zephyr keys create", "--insecure"):
        assert words in said
    revoked = created(database_url, "x")["id"]
    command(database_url, "revoke", revoked)
    created(database_url, "x", "--days", "0")
    refusal(new_gateway(DATABASE_URL=database_url, **OUTWARD))
    key = created(database_url, "x")["key"]
    with new_gateway(DATABASE_URL=database_url, **OUTWARD) as gateway:
        assert gateway.get("/v1/models").status == 401
        assert gateway.get("/v1/models", **{"x-api-key": key}).status == 200


def test_outward_it_starts_where_one_takes_it_upon_oneself(
    new_gateway: NewGateway, database_url: str, engine: ScriptedEngine
) -> None:
    """With the flag, or the variable that it sets; it says so in its log."""
    one = new_gateway(DATABASE_URL=database_url, **OUTWARD)
    one.arguments = ["gateway", "--insecure"]
    with one:
        assert one.post("/v1/chat/completions", chat()).status == 200
        assert '"insecure"' in one.log_text
    with new_gateway(DATABASE_URL=database_url, ZEPHYR_REQUIRE_KEYS="false", **OUTWARD) as other:
        assert other.get("/v1/models").status == 200


@pytest.mark.parametrize(
    ("environment", "variable"),
    [
        ({"ZEPHYR_ADMIN_HOST": "0.0.0.0"}, "ZEPHYR_ADMIN_HOST"),
        (
            {"ZEPHYR_HOST": "0.0.0.0", "ZEPHYR_ADMIN_HOST": "::", "ZEPHYR_REQUIRE_KEYS": "0"},
            "ZEPHYR_ADMIN_HOST",
        ),
        ({"ZEPHYR_REQUIRE_KEYS": "perhaps"}, "ZEPHYR_REQUIRE_KEYS"),
        ({"ZEPHYR_KEYS_CACHED": "3"}, "ZEPHYR_KEYS_CACHED"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(
    new_gateway: NewGateway, environment: dict[str, Any], variable: str
) -> None:
    """Keys that nobody needs are managed on this machine alone."""
    assert variable in refusal(new_gateway(**environment))


def test_a_second_listener_that_cannot_be_is_refused_by_name(
    gateway: Gateway, new_gateway: NewGateway
) -> None:
    assert "ZEPHYR_ADMIN_PORT" in refusal(new_gateway(ZEPHYR_ADMIN_PORT=str(gateway.admin_port)))


def test_outward_it_starts_while_postgres_is_away_and_lets_nobody_in(new_gateway: NewGateway) -> None:
    """A 503 and never a 401: nobody can say that a key is none. What needs none is there."""
    gateway = new_gateway(DATABASE_URL=AWAY, **OUTWARD)
    try:
        gateway.start()
        gateway.wait_until_alive()
        answer = gateway.get("/v1/models", authorization="Bearer sk-zephyr-" + "A" * 43)
        assert (answer.status, answer.error["code"]) == (503, "keys_unavailable")
        assert answer.headers["retry-after"] == "5"
        assert gateway.get("/v1/models").status == 401, "there is nothing to look up"
        assert gateway.get("/").status == 200
    finally:
        gateway.kill()


def test_a_known_key_goes_on_while_postgres_is_away(
    new_gateway: NewGateway, engine: ScriptedEngine, tmp_path: Path
) -> None:
    """Its answers go to the spool. A key that was not used before is a 503, and is let in when PostgreSQL is back."""
    server = PostgresServer()
    try:
        migrate(server.url)
        used, unused = created(server.url, "alice"), created(server.url, "bob")
        with new_gateway(
            DATABASE_URL=server.url, ZEPHYR_REQUIRE_KEYS="true", ZEPHYR_SPOOL_DIR=str(tmp_path)
        ) as gateway:
            alice, bob = (Holder(gateway=gateway, id=one["id"], key=one["key"]) for one in (used, unused))
            assert alice.post("/v1/chat/completions", chat()).status == 200
            server.kill()
            assert alice.post("/v1/chat/completions", chat()).status == 200
            assert until(bob, 503) == "keys_unavailable"
            server.start()
            until(bob, 200)
            assert alice.post("/v1/chat/completions", chat()).status == 200
    finally:
        server.close()


def until(holder: Holder, status: int) -> str | None:
    """Wait until the key gets this status, and no 401 before; the code of the error."""
    limit = time.monotonic() + 10
    while (answer := holder.get("/v1/models")).status != status:
        assert answer.status != 401
        assert time.monotonic() < limit
        time.sleep(0.02)
    return answer.error["code"] if status != 200 else None
