"""Every failure has OpenAI's shape, the right status and code, and gives nothing of the inside away."""

import json
from dataclasses import dataclass
from typing import Any

import openai
import pytest

from tests.acceptance.gateway import INSIDE, Answer, Gateway, chat
from tests.fakes import answers
from tests.fakes.engine import Script, ScriptedEngine, refusal

TOO_LONG = (
    "This model's maximum context length is 4096 tokens. However, your prompt contains 5000 input tokens."
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """What the engine answers, and what the client is to be told of it."""

    name: str
    script: Script
    status: int
    type: str = "invalid_request_error"
    code: str | None = None
    param: str | None = None
    message: str | None = None
    retry: bool = False
    """Whether the client is told to try again, and when."""


def invalid(name: str, script: Script, **told: Any) -> Row:
    return Row(name=name, script=script, status=400, **told)


def failed(name: str, script: Script, status: int, **told: Any) -> Row:
    return Row(name=name, script=script, status=status, type="server_error", **told)


ROWS = [
    invalid(
        "missing field",
        refusal(
            400, "[{'type': 'missing', 'loc': ('body', 'x')}]", type="Bad Request", param="body.messages"
        ),
        param="messages",
    ),
    invalid(
        "semantic validator",
        refusal(400, "top_p must be in (0, 1], got 3. (parameter=top_p, value=3)", param="top_p"),
        param="top_p",
        message="top_p must be in (0, 1], got 3.",
    ),
    invalid(
        "prompt too long",
        refusal(400, TOO_LONG, param="input_tokens"),
        code="context_length_exceeded",
        param="messages",
        message=TOO_LONG,
    ),
    invalid(
        "prompt too long by its characters",
        refusal(400, "The prompt is too long.", param="input_text"),
        code="context_length_exceeded",
        param="messages",
    ),
    invalid(
        "more tokens than the context has",
        refusal(400, "max_tokens=5000 cannot be greater than max_model_len=4096.", param="max_tokens"),
        param="max_tokens",
    ),
    invalid("message with a path", refusal(400, "cannot open /secret/path/model.json at 0x7f12ab34cd56")),
    invalid(
        "unreachable media",
        refusal(422, "cannot fetch", type="UnprocessableEntityError"),
        message="cannot fetch",
    ),
    Row(
        name="unknown model",
        script=refusal(
            404,
            "The model `x` does not exist. Valid aliases: scripted-model",
            type="NotFoundError",
            param="model",
        ),
        status=404,
        code="model_not_found",
        param="model",
    ),
    failed(
        "queue limit",
        refusal(503, "Too many queued requests", type="Service Unavailable"),
        503,
        code="overloaded",
        retry=True,
    ),
    failed(
        "retryable generation failure",
        refusal(503, "try again", type="ServiceUnavailableError"),
        503,
        retry=True,
    ),
    failed(
        "internal error", refusal(500, "Internal server error", type="InternalServerError"), 503, retry=True
    ),
    failed("error without a message", refusal(500, "", type="EngineGenerateError"), 503, retry=True),
    failed(
        "dead engine core",
        refusal(500, "EngineCore encountered an issue. See /usr/lib/x.py", type="EngineDeadError"),
        503,
        retry=True,
    ),
    failed(
        "scaling", Script(status=503, body=b'{"error":"The model is currently scaling"}'), 503, retry=True
    ),
    failed("wrong key", Script(status=401, body=b'{"error":"Unauthorized"}'), 503, retry=True),
    failed(
        "a page of a proxy",
        Script(status=502, body=b"<html>Bad Gateway at 127.0.0.1</html>"),
        503,
        retry=True,
    ),
    failed("an error without a body", Script(status=500, body=b""), 503, retry=True),
    failed("a redirect", Script(status=307, body=b""), 503, retry=True),
]


def check(row: Row, error: dict[str, Any]) -> None:
    """The error is the row's, and holds nothing of the inside."""
    assert (error["type"], error["param"]) == (row.type, row.param)
    if row.code is not None:
        assert error["code"] == row.code
    if row.message is not None:
        assert error["message"] == row.message
    for part in INSIDE:
        assert part not in error["message"]


def check_retry(retry: bool, answer: Answer) -> None:
    """A server's error says whether trying again makes sense, a client's says nothing."""
    if answer.status < 500:
        assert "retry-after" not in answer.headers
    elif retry:
        assert int(answer.headers["retry-after"]) >= 1
    else:
        assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_refusals_of_the_engine(gateway: Gateway, engine: ScriptedEngine, row: Row, stream: bool) -> None:
    """Each row of vLLM's table of errors, when it is the status line that says so."""
    engine.script = row.script
    answer = gateway.post("/v1/chat/completions", chat(stream=stream))
    assert answer.status == row.status
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    check(row, answer.error)
    check_retry(row.retry, answer)


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.script.body and b'"code"' in row.script.body], ids=lambda row: row.name
)
def test_refusals_as_first_event(gateway: Gateway, engine: ScriptedEngine, row: Row) -> None:
    """The same rows when vLLM has sent 200 already: the client gets the right status all the same."""
    event = b"data: " + (row.script.body or b"") + b"\n\n"
    engine.script = Script(events=[event, answers.DONE])
    answer = gateway.post("/v1/chat/completions", chat(stream=True))
    assert answer.status == row.status
    check(row, answer.error)
    check_retry(row.retry, answer)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_unsupported_by_the_engine(gateway: Gateway, engine: ScriptedEngine, stream: bool) -> None:
    """What the engine cannot do is not worth another try."""
    engine.script = refusal(501, "logprobs are not supported", type="NotImplementedError")
    answer = gateway.post("/v1/chat/completions", chat(stream=stream))
    assert answer.status in (400, 501)
    assert answer.error["message"] == "logprobs are not supported"
    if answer.status == 501:
        check_retry(False, answer)


def test_sdk_raises_the_right_class(gateway: Gateway, engine: ScriptedEngine) -> None:
    """The SDK's user meets the exceptions he knows from OpenAI."""
    engine.scripts = {"long": refusal(400, TOO_LONG, param="input_tokens"), "full": ROWS[8].script}
    said: Any = [{"role": "user", "content": ""}]
    with gateway.openai() as client:
        with pytest.raises(openai.BadRequestError) as bad:
            client.chat.completions.create(model="zephyr-7b-beta", messages=[said[0] | {"content": "long"}])
        with pytest.raises(openai.InternalServerError) as full:
            client.chat.completions.create(model="zephyr-7b-beta", messages=[said[0] | {"content": "full"}])
    assert (bad.value.code, bad.value.param) == ("context_length_exceeded", "messages")
    assert full.value.status_code == 503


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("POST", "/v1/chat/completions/batch", 404),
        ("GET", "/nothing", 404),
        ("PUT", "/v1/chat/completions", 405),
        ("GET", "/v1/completions", 405),
        ("PATCH", "/v1/chat/completions/chatcmpl-1", 405),
        ("DELETE", "/v1/models", 405),
        ("PUT", "/v1/completions", 405),
        ("POST", "/tokenize", 404),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/%00", 404),
    ],
)
def test_wrong_address_or_verb(
    gateway: Gateway, engine: ScriptedEngine, method: str, path: str, status: int
) -> None:
    """Wrong addresses and verbs are errors in shape, and carry a request id."""
    answer = gateway.request(method, path, None)
    assert answer.status == status
    assert answer.error["type"] == "invalid_request_error"
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"5", b'"x"', b"\xff\xfe", b'{"messages": [}', b"[" * 200_000, b'{"a":NaN}'],
    ids=lambda body: repr(body[:12]),
)
def test_bad_json(gateway: Gateway, engine: ScriptedEngine, path: str, body: bytes) -> None:
    """A body that is not a JSON object is a 400."""
    answer = gateway.post(path, body, **{"content-type": "application/json"})
    assert answer.status == 400
    assert answer.error["type"] == "invalid_request_error"
    assert engine.seen == []


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_wrong_content_type(gateway: Gateway, engine: ScriptedEngine, content_type: str) -> None:
    """What a foreign page can send without asking is refused."""
    answer = gateway.request(
        "POST", "/v1/chat/completions", json.dumps(chat()).encode(), {"content-type": content_type}
    )
    assert answer.status == 415
    assert answer.error["type"] == "invalid_request_error"
    assert engine.seen == []


def test_nothing_that_was_said_is_in_the_gateways_own_log(gateway: Gateway, engine: ScriptedEngine) -> None:
    """Prompts, answers and keys stay out of the process's log, also when things go wrong."""
    secret = "a-very-secret-text"
    engine.scripts = {
        secret: Script(pieces=(secret,)),
        secret + "!": refusal(400, secret),
        secret + "?": Script(body=secret.encode()),
    }
    for text in (secret, secret + "!", secret + "?"):
        for stream in (False, True):
            body = json.dumps(chat(text, stream=stream)).encode()
            headers = {"content-type": "application/json", "authorization": "Bearer " + secret}
            gateway.request("POST", "/v1/chat/completions", body, headers)
    gateway.post("/v1/chat/completions", chat(secret, temperature=9))
    gateway.post("/v1/chat/completions", b'{"' + secret.encode(), **{"content-type": "application/json"})
    assert secret not in gateway.log_text


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/healthz", {}),
        ("GET", "/readyz", {}),
        ("GET", "/openapi.json", {}),
        ("GET", "/docs", {}),
        ("GET", "/v1/models", {}),
        ("GET", "/v1/models/unknown", {}),
        ("GET", "/nothing", {}),
        ("PUT", "/v1/models", {}),
        ("POST", "/v1/chat/completions", {}),
        ("POST", "/v1/chat/completions", {"origin": "http://evil.example"}),
        ("POST", "/v1/chat/completions", {"content-encoding": "br"}),
        ("OPTIONS", "/v1/models", {"origin": "http://localhost", "access-control-request-method": "GET"}),
        ("GET", "/log/exchanges", {}),
        ("GET", "/log/exchanges/unknown", {}),
    ],
)
def test_every_answer_has_a_request_id(
    gateway: Gateway, engine: ScriptedEngine, method: str, path: str, headers: dict[str, str]
) -> None:
    """Whatever happens, there is an id to quote; the client's own is not taken over."""
    answer = gateway.request(method, path, None, {"x-request-id": "mine"} | headers)
    assert len(answer.headers["x-request-id"]) == 32
    if answer.status >= 400:
        assert answer.error["message"]
