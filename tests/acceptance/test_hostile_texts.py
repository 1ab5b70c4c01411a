"""Texts that would steer a log, a terminal or a database, wherever a client can put one: the log says them harmlessly or not at all."""

import json
import unicodedata
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.acceptance.conftest import NewGateway
from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import Gateway, chat
from tests.fakes.engine import ScriptedEngine

FORGED = '{"level": "error", "event": "forged"}'
TEXTS = {
    "line breaks": f"a\r\n{FORGED}\n",
    "other line breaks": f"a\u2028{FORGED}\u2029b\x85c\x0bd\x0ce",
    "terminal escapes": "\x1b[2J\x1b]0;title\x07\x1b[31mred\x9b1m",
    "NUL": f"a\0{FORGED}",
    "backspaces": "secret\b\b\b\b\b\b\x7f",
    "bidirectional": "\u202eevil\u202c \u2066x\u2069 \u200f",
    "invisible": "a\u200b\ufeff\u00ad\U000e0041b",
    "formats": "%s %n {0} ${jndi:ldap://x} {{7*7}} $(id) `id`",
    "SQL": "'; DROP TABLE exchanges; --",
}


@pytest.fixture(scope="module")
def logging_gateway(new_gateway: NewGateway) -> Iterator[Gateway]:
    """A gateway of whose log every line is looked at in the end."""
    with new_gateway() as gateway:
        yield gateway
        check_log(gateway)


def check_log(gateway: Gateway) -> None:
    for line in gateway.log.read_bytes().split(b"\n"):
        if line:
            assert "forged" not in json.loads(line).get("event", "")
            odd = [one for one in line.decode() if unicodedata.category(one).startswith("C")]
            assert not odd, line


@pytest.mark.parametrize("name", TEXTS)
def test_what_was_said_is_kept_word_for_word_and_logged_nowhere(
    logging_gateway: Gateway, engine: ScriptedEngine, exchanges: Exchanges, name: str
) -> None:
    """In the text, in the names beside it, and in the metadata."""
    text = TEXTS[name]
    answer = logging_gateway.post(
        "/v1/chat/completions", chat(text, user=text, metadata={"a": text}, store=True)
    )
    assert answer.status == 200, answer.body
    exchange = exchanges.get(answer.json["id"])
    assert exchange["input"][0]["content"] == text
    assert exchange["metadata"] == {"a": text}
    assert exchange["parameters"]["user"] == text
    shown = logging_gateway.get(f"/log/exchanges/{exchange['id']}")
    assert shown.json["input"][0]["content"] == text
    check_log(logging_gateway)


@pytest.mark.parametrize("name", TEXTS)
def test_texts_in_headers_and_addresses_are_harmless(
    logging_gateway: Gateway, engine: ScriptedEngine, name: str
) -> None:
    """As a header of a client that checks nothing, encoded as that allows; as an id; as the name of a model."""
    raw = TEXTS[name].encode().replace(b"\r", b" ").replace(b"\n", b" ").replace(b"\0", b" ")
    for header in (
        "user-agent",
        "x-request-id",
        "idempotency-key",
        "referer",
        "x-forwarded-for",
        "openai-project",
    ):
        answer = logging_gateway.post(
            "/v1/chat/completions", chat(), **{header: raw.decode("latin-1").strip()}
        )
        assert answer.status in (200, 400), (header, answer.body)
        assert len(answer.headers["x-request-id"]) == 32
    assert logging_gateway.post("/v1/chat/completions", chat(model=TEXTS[name])).status in (400, 404)
    quoted = quote(TEXTS[name], safe="")
    for path in ("/v1/models/", "/log/exchanges/", "/v1/chat/completions/", "/v1/responses/", "/"):
        answer = logging_gateway.get(path + quoted)
        assert answer.status in (400, 404), (path, answer.body)
        assert "\n" not in answer.error["message"]
    assert logging_gateway.get("/log/exchanges?after=" + quoted).status < 500
    check_log(logging_gateway)
