"""Pages of other origins cannot make a browser spend the engine's time; those that are allowed can."""

import json

import pytest

from tests.acceptance.gateway import Gateway, chat
from tests.fakes.engine import ScriptedEngine

ALLOWED = "http://localhost:8501"


def ask(gateway: Gateway, origin: str) -> tuple[int, dict[str, str]]:
    headers = {"content-type": "application/json", "origin": origin}
    answer = gateway.request("POST", "/v1/chat/completions", json.dumps(chat()).encode(), headers)
    return answer.status, answer.headers


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:8501.evil.example", "x"])
def test_foreign_page_is_refused(gateway: Gateway, engine: ScriptedEngine, origin: str) -> None:
    status, headers = ask(gateway, origin)
    assert status == 403
    assert "access-control-allow-origin" not in headers
    assert engine.seen == []


def test_allowed_page_may_call_and_read(gateway: Gateway, engine: ScriptedEngine) -> None:
    status, headers = ask(gateway, ALLOWED)
    assert status == 200
    assert headers["access-control-allow-origin"] == ALLOWED
    assert "x-request-id" in headers["access-control-expose-headers"].lower()


def test_own_page_may_call(gateway: Gateway, engine: ScriptedEngine) -> None:
    """The gateway's own pages are at the address that they call."""
    assert ask(gateway, gateway.url)[0] == 200


def test_errors_can_be_read_by_an_allowed_page(gateway: Gateway, engine: ScriptedEngine) -> None:
    """A browser shows a script nothing of an answer without the header, errors included."""
    headers = {"content-type": "application/json", "origin": ALLOWED}
    answer = gateway.request("POST", "/v1/chat/completions", b"{}", headers)
    assert answer.status == 400
    assert answer.headers["access-control-allow-origin"] == ALLOWED


def test_preflight(gateway: Gateway) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    good = gateway.request("OPTIONS", "/v1/chat/completions", None, asked | {"origin": ALLOWED})
    assert good.status == 200
    assert good.headers["access-control-allow-origin"] == ALLOWED
    bad = gateway.request("OPTIONS", "/v1/chat/completions", None, asked | {"origin": "http://evil.example"})
    assert "access-control-allow-origin" not in bad.headers


def test_reading_is_not_refused_but_not_shown(gateway: Gateway) -> None:
    """A foreign page's GET is harmless: the browser keeps the answer from it."""
    answer = gateway.get("/v1/models", origin="http://evil.example")
    assert "access-control-allow-origin" not in answer.headers
