"""Codes of docs/errors.md that no other test causes from outside: each once, at the real gateway."""

from uuid import uuid4

import pytest

from tests.acceptance.gateway import Gateway, chat, read_until
from tests.fakes.engine import ScriptedEngine

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
ITEM = {"type": "computer_call"}
ASKED = [
    ("GET", CHAT + "/x/y", None, {}, 404, "unknown_url"),
    ("PUT", CHAT, None, {}, 405, "method_not_allowed"),
    ("POST", CHAT, b"{", {}, 400, "invalid_json"),
    ("POST", CHAT, chat(temperature="hot"), {}, 400, "invalid_value"),
    ("POST", CHAT, {"model": "zephyr-7b-beta"}, {}, 400, "missing_parameter"),
    ("POST", CHAT, chat(best_of=2), {}, 400, "unknown_parameter"),
    ("POST", CHAT, chat(), {"idempotency-key": "x" * 256}, 400, "invalid_idempotency_key"),
    ("POST", RESPONSES, {"input": "x", "conversation": "a", "previous_response_id": "b"}, {}, 400, "mutually_exclusive_parameters"),
    ("POST", RESPONSES, {"input": "x", "truncation": "auto"}, {}, 400, "unsupported_value"),
    ("POST", RESPONSES, {"input": "x", "top_logprobs": 2}, {}, 400, "unsupported_parameter"),
    ("POST", RESPONSES, {"input": [ITEM]}, {}, 400, "unsupported_item"),
    ("GET", "/log/exchanges/00000000-0000-4000-8000-000000000000", None, {}, 404, "not_found"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "headers", "status", "code"), ASKED)
def test_it_is_answered(
    gateway: Gateway,
    method: str,
    path: str,
    body: dict[str, object] | bytes | None,
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    """In OpenAI's shape, with this status."""
    sent = {"content-type": "application/json"} | headers
    answer = gateway.request(method, path, body, sent)
    assert (answer.status, answer.error["code"]) == (status, code)


def test_others_need_more_than_a_request(gateway: Gateway, engine: ScriptedEngine) -> None:
    """A bare connection, the second listener, an exchange."""
    with gateway.connect() as one:
        one.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert b'"invalid_host"' in read_until(one, b"}}")
    unknown = gateway.admin("GET", f"/admin/keys/{uuid4()}")
    assert (unknown.status, unknown.error["code"]) == (404, "key_not_found")
    one_id, other_id = (
        gateway.post(CHAT, chat(f"{uuid4()}")).json["id"].removeprefix("chatcmpl-") for _ in "12"
    )
    refused = gateway.post(f"/log/exchanges/{one_id}/feedback", {"rating": 1, "preferred_over": other_id})
    assert (refused.status, refused.error["code"]) == (400, "not_a_sibling")
