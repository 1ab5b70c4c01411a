"""Pages of other origins cannot make a browser spend the engine's time; those that are allowed can."""

import json
import re

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


VISIT = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
EMBEDDED: list[dict[str, str]] = [
    {"sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"},
    {"sec-fetch-mode": "no-cors", "sec-fetch-dest": "script"},
    {"sec-fetch-mode": "no-cors", "sec-fetch-dest": "empty"},
    {"sec-fetch-mode": "cors", "sec-fetch-dest": "empty", "origin": "http://evil.example"},
    {"sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
    {"sec-fetch-mode": "navigate", "sec-fetch-dest": "object"},
    {"sec-fetch-dest": "document"},
    {},
]


@pytest.mark.parametrize("headers", EMBEDDED, ids=str)
def test_a_foreign_page_cannot_measure_what_is_here(gateway: Gateway, headers: dict[str, str]) -> None:
    """It reads no answer, but how long a search takes would tell it what was said."""
    for method in ("GET", "HEAD"):
        answer = gateway.request(
            method, "/log/search?q=secret", None, {"sec-fetch-site": "cross-site", **headers}
        )
        assert answer.status == 403
        assert "access-control-allow-origin" not in answer.headers
    admin = gateway.admin("GET", "/admin/keys", None, **{"sec-fetch-site": "cross-site", **headers})
    assert (admin.status, admin.error["code"]) == (403, "cross_site_not_allowed")


@pytest.mark.parametrize("site", ["same-origin", "same-site", "none", "cross-site"])
def test_whoever_comes_by_a_link_is_let_in(gateway: Gateway, site: str) -> None:
    assert gateway.get("/", **{"sec-fetch-site": site, **VISIT}).status == 200


def test_a_page_that_may_call_may_read(gateway: Gateway) -> None:
    """Whatever site it is of."""
    fetched = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}
    answer = gateway.get("/v1/models", origin=ALLOWED, **fetched)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, ALLOWED)


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_run_and_load_nothing_but_what_they_name(gateway: Gateway, path: str) -> None:
    """No page frames them; they fetch nothing from elsewhere and call the gateway alone."""
    answer = gateway.get(path, accept="text/html")
    parts = [part.split() for part in answer.headers["content-security-policy"].split(";")]
    policy = {name: sources for name, *sources in parts}
    for name in ("default-src", "form-action", "frame-ancestors"):
        assert policy[name] == ["'none'"]
    assert policy["base-uri"] in (["'none'"], ["'self'"])
    assert not {"'unsafe-inline'", "'unsafe-eval'", "*", "data:"} & set(policy.get("script-src", ()))
    assert policy.get("connect-src", ["'self'"]) == ["'self'"]
    assert not re.findall(r"<(?:script|link|img)[^>]*=\"https?://[^>]*>", answer.body.decode())
