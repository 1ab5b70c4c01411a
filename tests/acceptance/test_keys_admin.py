"""The second listener, and the commands: keys made, seen, changed and ended by whoever may."""

import http.client
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.acceptance.gateway import ROOT, Gateway
from tests.acceptance.keys import Holder, command, created
from tests.databases import rows

LIMITS = {"requests_per_minute": 3, "tokens_per_day": 1000}


def test_the_command_shows_a_key_this_once(log_url: str) -> None:
    """Afterwards it is known by its id and its beginning; nothing in the database is the key."""
    done = command(
        log_url, "create", "carol", "--name", "laptop", "--days", "30", "--requests-per-minute", "3"
    )
    assert done.returncode == 0
    key = done.stdout.strip()
    assert key.startswith("sk-zephyr-") and len(key) == 53 and key not in done.stderr
    (listed,) = map(json.loads, command(log_url, "list", "--tenant", "carol", "--json").stdout.splitlines())
    assert (listed["name"], listed["tenant"], listed["prefix"]) == ("laptop", "carol", key[:14])
    assert listed["limits"] == {"requests_per_minute": 3}
    assert listed["scopes"] == ["generate", "read", "feedback"]
    for words in (("list",), ("show", listed["id"])):
        shown = command(log_url, *words).stdout
        assert "carol" in shown and key not in shown
    everything = str([tuple(row) for row in rows(log_url, "SELECT * FROM keys")])
    assert key not in everything and key[14:] not in everything


def test_the_commands_rotate_and_revoke(admin: Holder, keyed: Gateway, log_url: str) -> None:
    """While the gateway runs."""
    made = created(log_url, "dora")
    first = Holder(gateway=keyed, id=made["id"], key=made["key"])
    assert first.get("/v1/models").status == 200
    rotated = json.loads(command(log_url, "rotate", first.id, "--json").stdout)
    assert rotated["id"] == first.id
    second = Holder(gateway=keyed, id=first.id, key=rotated["key"])
    assert until_status(first, 401) < 1.0
    assert second.get("/v1/models").status == 200
    assert command(log_url, "revoke", first.id).stdout == "dora of dora is revoked.\n"
    assert until_status(second, 401) < 1.0
    again = command(log_url, "revoke", first.id)
    assert (again.returncode, again.stderr) == (1, "There is no such key, or it is revoked.\n")


def test_the_command_sets_a_tenants_weight_and_limits(log_url: str) -> None:
    """Only what is given; 0 takes a limit away."""
    command(log_url, "tenant", "eve", "--weight", "2", "--tokens-per-day", "9", "--concurrent-requests", "1")
    done = command(log_url, "tenant", "eve", "--tokens-per-day", "0", "--json")
    assert json.loads(done.stdout) == {"name": "eve", "weight": 2.0, "limits": {"concurrent_requests": 1}}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("create", "no spaces"), "names are"),
        (("create", "x", "--scope", "everything"), "scopes are"),
        (("show", "00000000-0000-0000-0000-000000000000"), "There is no such key"),
        (("tenant", "x", "--weight", "0"), "0.01"),
        (("tenant", "x", "--weight", "nan"), "0.01"),
    ],
)
def test_the_command_says_what_it_does_not_take(log_url: str, words: tuple[str, ...], said: str) -> None:
    done = command(log_url, *words)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_needs_the_database(empty_database_url: str) -> None:
    """Where it is, and with its tables."""
    bare = command(empty_database_url, "create", "x")
    assert (bare.returncode, "zephyr migrate" in bare.stderr) == (1, True)
    done = command("postgresql://nobody@/nothing?host=/no-such-folder", "create", "x")
    assert (done.returncode, done.stderr) == (1, "Keys cannot be looked up now; try again shortly.\n")


def test_keys_over_the_admin_api(admin: Holder, keyed: Gateway) -> None:
    """Made, listed page by page, read, rotated with a grace, revoked."""
    moment = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    order = {"tenant": "frank", "name": "ci", "scopes": ["generate"], "limits": LIMITS, "expires_at": moment}
    made = admin.admin("POST", "/admin/keys", order)
    assert (made.status, made.headers["cache-control"]) == (201, "no-store")
    first = Holder(gateway=keyed, id=made.json["id"], key=made.json["key"])
    seen = admin.admin("GET", f"/admin/keys/{first.id}").json
    assert "key" not in seen and first.key not in json.dumps(seen)
    assert (seen["limits"], seen["scopes"], seen["state"]) == (LIMITS, ["generate"], "valid")
    other = admin.gives("frank")
    page = admin.admin("GET", "/admin/keys?tenant=frank&limit=1").json
    assert ([key["id"] for key in page["data"]], page["has_more"]) == ([other.id], True)
    rest = admin.admin("GET", f"/admin/keys?tenant=frank&after={other.id}").json
    assert ([key["id"] for key in rest["data"]], rest["has_more"]) == ([first.id], False)
    rotated = admin.admin("POST", f"/admin/keys/{first.id}/rotate", {"grace_seconds": 60}).json
    second = Holder(gateway=keyed, id=first.id, key=rotated["key"])
    assert (first.get("/v1/models").status, second.get("/v1/models").status) == (200, 200)
    assert admin.admin("DELETE", f"/admin/keys/{first.id}").json["state"] == "revoked"
    assert until_status(first, 401) < 1.0
    assert until_status(second, 401) < 1.0


def test_a_tenant_over_the_admin_api(admin: Holder) -> None:
    assert admin.admin("GET", "/admin/tenants/gina").json == {"name": "gina", "weight": 1.0, "limits": {}}
    change = {"weight": 3, "limits": LIMITS}
    assert admin.admin("PUT", "/admin/tenants/gina", change).status == 200
    assert admin.admin("GET", "/admin/tenants/gina").json == {"name": "gina", "weight": 3.0, "limits": LIMITS}


@pytest.mark.parametrize(
    "order",
    [
        {},
        {"tenant": ""},
        {"tenant": "a b"},
        {"tenant": "a\n"},
        {"tenant": "a", "name": "b\n"},
        {"tenant": "x", "scopes": ["everything"]},
        {"tenant": "x", "limits": {"request_per_minute": 1}},
        {"tenant": "x", "limits": {"requests_per_minute": 0}},
        {"tenant": "x", "expires_at": "2020-01-01T00:00:00Z"},
        {"tenant": "x", "expires_at": "2090-01-01T00:00:00"},
        {"tenant": "x", "weight": 2},
    ],
)
def test_the_admin_api_takes_nothing_that_it_does_not_know(admin: Holder, order: dict[str, Any]) -> None:
    answer = admin.admin("POST", "/admin/keys", order)
    assert (answer.status, answer.error["type"]) == (400, "invalid_request_error"), answer.body


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        (b"{}", "tenant", "missing_parameter"),
        (b'{"tenant": "x", "weight": 2}', "weight", "unknown_parameter"),
        (
            b'{"tenant": "x", "limits": {"requests_per_minute": 0}}',
            "limits.requests_per_minute",
            "invalid_value",
        ),
        (b'{"tenant": ', None, "invalid_json"),
        (b'{"tenant": "x", "limits": {"\xff": 1}}', None, "invalid_json"),
    ],
)
def test_the_admin_api_names_what_is_wrong(admin: Holder, body: bytes, param: str | None, code: str) -> None:
    """Also where it is no JSON, or no text."""
    headers = admin.headers | {"content-type": "application/json"}
    answer = admin.gateway.request("POST", "/admin/keys", body, headers, port=admin.gateway.admin_port)
    assert (answer.status, answer.error["param"], answer.error["code"]) == (400, param, code), answer.body


def test_only_an_admins_key_is_taken(admin: Holder, keyed: Gateway) -> None:
    """Whatever else another key may do."""
    everything = admin.gives("powerful", scopes=["generate", "read", "read_all", "feedback"])
    requests = [
        ("POST", "/admin/keys", {"tenant": "x"}),
        ("GET", "/admin/keys", None),
        ("GET", f"/admin/keys/{admin.id}", None),
        ("POST", f"/admin/keys/{admin.id}/rotate", {}),
        ("DELETE", f"/admin/keys/{admin.id}", None),
        ("GET", "/admin/tenants/x", None),
        ("PUT", "/admin/tenants/x", {"weight": 100}),
    ]
    for method, path, body in requests:
        refused = everything.admin(method, path, body)
        assert (refused.status, refused.error["code"]) == (403, "missing_scope"), (method, path)
        assert keyed.admin(method, path, body).status == 401, (method, path)
        assert admin.ask(method, path, body).status == 404, "the first listener knows nothing of it"


def test_figures_are_on_the_second_listener_alone(admin: Holder, keyed: Gateway, gateway: Gateway) -> None:
    """They need no key there; where nobody needs one, they are on the first as well."""
    assert b"zephyr_log_committed" in keyed.admin("GET", "/metrics").body
    assert keyed.admin("GET", "/log/status").json["accepted"] >= 0
    assert admin.get("/metrics").status == 404
    assert gateway.get("/metrics").status == gateway.admin("GET", "/metrics").status == 200


def test_the_command_reads_the_status_there(keyed: Gateway) -> None:
    """Where the first listener would ask for a key."""
    done = subprocess.run(
        [sys.executable, "-m", "adapters", "log", "status", "--json"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "ZEPHYR_ADMIN_PORT": str(keyed.admin_port)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads(done.stdout)["accepted"] >= 0, done.stderr


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:8501", "http://localhost:8000"]
)
def test_no_page_manages_keys(gateway: Gateway, keyed: Gateway, origin: str) -> None:
    """Neither one that may call the first listener, nor where no keys are needed; and none can read an answer."""
    for one in (gateway, keyed):
        for method, path in (
            ("POST", "/admin/keys"),
            ("DELETE", "/admin/keys/x"),
            ("PUT", "/admin/tenants/x"),
        ):
            answer = one.admin(method, path, {"tenant": "x"}, origin=origin)
            assert (answer.status, answer.error["code"]) == (403, "origin_not_allowed")
        for path in ("/admin/keys", "/metrics"):
            assert "access-control-allow-origin" not in one.admin("GET", path, origin=origin).headers
        asked = {"origin": origin, "access-control-request-method": "POST"}
        assert one.admin("OPTIONS", "/admin/keys", None, **asked).status != 200


def test_no_foreign_name_reaches_the_second_listener(gateway: Gateway) -> None:
    """A page whose own name leads here is of the same origin, for its browser."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.admin_port, timeout=10)
    connection.request("GET", "/admin/keys", headers={"host": f"evil.example:{gateway.admin_port}"})
    with connection.getresponse() as response:
        assert response.status == 403
        assert json.loads(response.read())["error"]["code"] == "host_not_allowed"
    connection.close()


def test_without_required_keys_whoever_is_on_this_machine_manages_them(gateway: Gateway) -> None:
    """As they may do everything else."""
    made = gateway.admin("POST", "/admin/keys", {"tenant": "open"}).json
    assert gateway.admin("DELETE", f"/admin/keys/{made['id']}").json["state"] == "revoked"


def until_status(holder: Holder, status: int) -> float:
    """Wait until the key gets this status; how long that took."""
    began = time.monotonic()
    while holder.get("/v1/models").status != status:
        assert time.monotonic() - began < 5.0
    return time.monotonic() - began
