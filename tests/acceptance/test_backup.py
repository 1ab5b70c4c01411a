"""A backup under load, restored into a new database, with a gateway on it: all that was acknowledged before is there."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from uuid import UUID

from adapters.conversations.entries import record
from adapters.conversations.exchange import Exchange
from adapters.conversations.spool_file import SpoolFile
from tests.acceptance.conftest import NewGateway
from tests.acceptance.gateway import Gateway, chat
from tests.acceptance.keys import Holder, created
from tests.commands import run_command
from tests.databases import rows
from tests.fakes.engine import ScriptedEngine
from tests.records import an_exchange


def zephyr(url: str, spool: Path, *arguments: str) -> str:
    done = run_command(*arguments, DATABASE_URL=url, ZEPHYR_SPOOL_DIR=str(spool))
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_gateway_on_the_restored_database_knows_everything(
    keyed: Gateway,
    new_gateway: NewGateway,
    engine: ScriptedEngine,
    log_url: str,
    empty_database_url: str,
    tmp_path: Path,
) -> None:
    """Keys, stored completions, conversations, feedback, and what only a spool held, before the backup and after it."""
    made = created(log_url, "restored")
    alice = Holder(gateway=keyed, id=made["id"], key=made["key"])
    conversation = alice.post("/v1/conversations", {"metadata": {"ticket": "17"}}).json["id"]
    response = alice.post("/v1/responses", {"input": "one", "conversation": conversation}).json["id"]
    stored = alice.post("/v1/chat/completions", chat(store=True)).json["id"]
    exchange = stored.removeprefix("chatcmpl-")
    alice.post(f"/log/exchanges/{exchange}/feedback", {"rating": 1, "comment": "good"})
    spooled, later = an_exchange(caller="restored"), an_exchange(caller="restored")
    _keep(tmp_path / "spool", spooled)
    stop = Event()
    with ThreadPoolExecutor(4) as clients:
        work = [clients.submit(_ask, alice, stop) for _ in range(4)]
        before = {
            UUID(alice.post("/v1/chat/completions", chat()).json["id"].removeprefix("chatcmpl-"))
            for _ in range(5)
        }
        said = zephyr(log_url, tmp_path / "spool", "backup", str(tmp_path / "backup.tar"))
        stop.set()
        asked = sum(one.result() for one in work)
    assert asked > 4
    assert "1 records that waited in a spool were shipped first" in said
    zephyr(empty_database_url, tmp_path / "spool", "restore", str(tmp_path / "backup.tar"))
    there = {row["id"] for row in rows(empty_database_url, "SELECT id FROM exchanges")}
    assert before | {spooled.id, UUID(exchange)} <= there

    _keep(tmp_path / "spool", later)
    with new_gateway(
        DATABASE_URL=empty_database_url, ZEPHYR_REQUIRE_KEYS="true", ZEPHYR_SPOOL_DIR=str(tmp_path / "spool")
    ) as gateway:
        again = Holder(gateway=gateway, id=alice.id, key=alice.key)
        assert (
            again.get(f"/v1/chat/completions/{stored}").json["choices"][0]["message"]["content"]
            == "Hello, world."
        )
        assert again.get(f"/v1/responses/{response}").status == 200
        assert again.get(f"/v1/conversations/{conversation}").json["metadata"] == {"ticket": "17"}
        items = again.get(f"/v1/conversations/{conversation}/items").json["data"]
        assert [item["role"] for item in items] == ["assistant", "user"]
        assert again.get(f"/log/exchanges/{exchange}").json["feedback"]["comment"] == "good"
        assert again.get(f"/log/exchanges/{spooled.id}").status == 200
        assert again.get(f"/log/exchanges/{later.id}").status == 200
        assert again.post("/v1/responses", {"input": "two", "conversation": conversation}).status == 200


def _ask(holder: Holder, stop: Event) -> int:
    asked = 0
    while not stop.is_set():
        assert holder.post("/v1/chat/completions", chat()).status == 200
        asked += 1
    return asked


def _keep(folder: Path, exchange: Exchange) -> None:
    """As a gateway that was killed leaves it."""
    folder.mkdir(exist_ok=True)
    file = SpoolFile(folder / "spool-0.sqlite", 2**20)
    file.append([record(exchange)])
    file.close()
