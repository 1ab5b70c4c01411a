"""What is at which address, for whom: a list, and nothing beside it."""

from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from adapters.app import Gateway as Application
from adapters.settings import Settings
from tests.acceptance import routes
from tests.acceptance.gateway import Gateway
from tests.acceptance.keys import Holder
from tests.fakes.engine import ScriptedEngine

JSON = {"content-type": "application/json"}
SCOPES = ("generate", "read", "read_all", "feedback", "admin")


def called(path: str) -> str:
    """The path with something in the place of its parameters."""
    return path.replace("{model:path}", "x").replace("{", "").replace("}", "")


@pytest.fixture(scope="module")
def holders(admin: Holder) -> dict[str, Holder]:
    """A key for each scope alone."""
    return {scope: admin.gives("scopes-each", scopes=[scope]) for scope in SCOPES}


def test_every_route_is_on_the_list(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One that is new fails here until somebody has said who may call it."""
    monkeypatch.setenv("ZEPHYR_SPOOL_DIR", str(tmp_path))
    for needed, first in (("true", routes.FIRST), ("false", routes.FIRST | routes.WITHOUT_KEYS)):
        monkeypatch.setenv("ZEPHYR_REQUIRE_KEYS", needed)
        application = Application(Settings.read())
        assert routes.found(application.asgi) == set(first)
        assert routes.found(application.admin) == set(routes.SECOND)


@pytest.mark.parametrize("second", [False, True], ids=["first", "second"])
def test_each_route_lets_in_whoever_the_list_says(
    keyed: Gateway, holders: dict[str, Holder], *, second: bool
) -> None:
    """And nobody else: without a key, with a key for each scope alone."""
    listed = routes.SECOND if second else routes.FIRST
    port = keyed.admin_port if second else keyed.port
    for (method, path), needed in listed.items():
        if method in ("WS", "FILES"):
            continue
        for scope, headers in {"none": {}, **{name: one.headers for name, one in holders.items()}}.items():
            answer = keyed.request(method, called(path), None, headers, port=port)
            if needed == routes.OPEN:
                assert answer.status < 400 or path == "/chat/", (method, path, scope)  # it may not be built
            elif needed == routes.NOBODY_OR_OVERSEER:
                assert answer.status == (200 if scope in ("none", "read_all") else 403), (method, path, scope)
            elif scope == "none":
                assert answer.status == 401, (method, path)
            else:
                let_in = needed in (routes.ANY_KEY, scope)
                assert (answer.status != 403) == let_in, (method, path, scope)
                assert answer.status not in (401, 405, 500), (method, path, scope)


@pytest.mark.parametrize("second", [False, True], ids=["first", "second"])
def test_what_is_nearly_on_the_list_is_not_there(keyed: Gateway, admin: Holder, *, second: bool) -> None:
    """Nobody is sent on to what was perhaps meant: the address of that would be the client's own `Host`."""
    listed = routes.SECOND if second else routes.FIRST
    port = keyed.admin_port if second else keyed.port
    for method, path in listed:
        if method in ("WS", "FILES") or path.startswith(("/chat", "/v1/models")) or path == "/":
            continue  # in a folder, and in a model's name, slashes are names' own
        for other in (called(path) + "/", "/" + called(path), called(path).upper(), called(path) + ";x"):
            if "{" not in path or other[-1] == "/":
                answer = keyed.request(method, other, None, admin.headers, port=port)
                # 405: what is there is something else, of which this is the id.
                assert answer.status in (404, 405), (method, other)


def test_a_websocket_lets_in_any_key_and_no_foreign_page(keyed: Gateway, holders: dict[str, Holder]) -> None:
    address = keyed.url.replace("http", "ws")
    for path in (path for method, path in routes.FIRST if method == "WS"):
        for headers, status in (
            ({}, 401),
            (holders["read"].headers | {"origin": "http://evil.example"}, 403),
            (holders["read"].headers | {"origin": "null"}, 403),
        ):
            with pytest.raises(InvalidStatus) as caught:
                connect(address + path, additional_headers=headers)
            assert caught.value.response.status_code == status
        with connect(address + path, additional_headers=holders["feedback"].headers) as socket:
            assert socket.recv(timeout=5)


def test_none_of_vllms_own_routes_is_there(
    gateway: Gateway, keyed: Gateway, admin: Holder, engine: ScriptedEngine
) -> None:
    """Whoever asks, at whichever listener; nothing of it reaches the engine."""
    everything = admin.gives("everything", scopes=list(SCOPES)).headers
    ours = {(method, called(path)) for method, path in (*routes.FIRST, *routes.SECOND)}
    for method, path in routes.vllms():
        assert (method, path) not in ours
        for one, headers in ((gateway, {}), (keyed, everything)):
            for port in (one.port, one.admin_port):
                answer = one.request(method, path, b"{}", headers | JSON, port=port)
                assert answer.status in (404, 405), (method, path, answer.body)
                assert answer.error["type"] == "invalid_request_error"
        assert keyed.request(method, path, b"{}", JSON).status == 401, (method, path)
    assert engine.seen == []
