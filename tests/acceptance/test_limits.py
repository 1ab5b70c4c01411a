"""Limits of keys and tenants, as the unmodified SDK meets them."""

import math
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import msgspec
import openai
import pytest

from adapters.access.callers import Limits
from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import Gateway, chat, read_until
from tests.acceptance.limited import MONTH, SLOW, NewKey, ask, client, outcome, used, used_in_the_end
from tests.acceptance.zephyr import results
from tests.fakes.answers import Asked
from tests.fakes.engine import Script, ScriptedEngine, refusal


@pytest.fixture(autouse=True)
def _well(engine: ScriptedEngine) -> None:
    """The engine begins each test well."""


def test_a_refused_request_says_truly_when_to_come_back(keyed: Gateway, new_key: NewKey) -> None:
    """As OpenAI does it: type, code, headers; at that time it is let in, before it is not."""
    key = new_key(requests_per_minute=30)
    sdk = client(keyed, key)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: outcome(sdk), range(45)))
    refused = [one for one in answers if isinstance(one, openai.RateLimitError)]
    assert 1 <= len(refused) <= 15
    while not isinstance(last := outcome(sdk), openai.RateLimitError):
        continue
    now = time.monotonic()
    body: Any = last.body
    assert (body["type"], body["code"], body["param"]) == ("requests", "rate_limit_exceeded", None)
    assert last.response.headers["x-ratelimit-limit-requests"] == "30"
    assert last.response.headers["x-ratelimit-remaining-requests"] == "0"
    wait = int(last.response.headers["retry-after-ms"]) / 1000
    assert 0 < wait <= 2
    assert last.response.headers["retry-after"] == str(math.ceil(wait))
    assert isinstance(outcome(sdk), openai.RateLimitError)
    time.sleep(max(0.0, now + wait - time.monotonic()))
    assert outcome(sdk) == "Hello, world."


def test_the_sdk_waits_by_itself(keyed: Gateway, new_key: NewKey) -> None:
    """It tries again when it was told to, and gets its answer."""
    sdk = client(keyed, new_key(requests_per_minute=120), retries=2)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: outcome(sdk), range(122)))
    assert answers == ["Hello, world."] * 122


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_answers_tell_how_the_limits_stand(keyed: Gateway, new_key: NewKey, stream: bool) -> None:
    """Of key and tenant the tighter one, in OpenAI's forms, on every kind of endpoint and on errors of the engine."""
    key = new_key(
        of_tenant=Limits(requests_per_minute=10**6, tokens_per_minute=4_000), requests_per_minute=600
    )
    headers = ask(client(keyed, key), max_tokens=40, stream=stream).headers
    assert (headers["x-ratelimit-limit-requests"], headers["x-ratelimit-limit-tokens"]) == ("600", "4000")
    assert (headers["x-ratelimit-remaining-requests"], headers["x-ratelimit-reset-requests"]) == (
        "599",
        "100ms",
    )
    taken = 4000 - int(headers["x-ratelimit-remaining-tokens"])
    assert 40 < taken < 140
    assert headers["x-ratelimit-reset-tokens"] == (
        "1s" if taken * 15 == 1000 else f"{taken * 15 / 1000:g}s" if taken * 15 > 1000 else f"{taken * 15}ms"
    )
    authorization = {"authorization": f"Bearer {key}"}
    bodies: dict[str, dict[str, object]] = {
        "/v1/completions": {"prompt": "x", "max_tokens": 4},
        "/v1/responses": {"input": "x", "max_output_tokens": 16},
        "/zephyr/python": {"user_message": "x", "max_new_tokens": 4},
        "/zephyr/structured-code-doc": {"user_message": "x", "max_new_tokens": 64},
    }
    for path, body in bodies.items():
        answer = keyed.request("POST", path, body | {"stream": stream}, authorization)
        assert answer.status == 200, answer.body
        assert answer.headers["x-ratelimit-limit-requests"] == "600", path


def test_who_has_no_limits_is_told_of_none(keyed: Gateway, new_key: NewKey) -> None:
    """And is not counted either."""
    headers = ask(client(keyed, new_key())).headers
    assert not [name for name in headers if "ratelimit" in name]


def test_an_error_of_the_engine_uses_no_tokens(
    keyed: Gateway, engine: ScriptedEngine, exchanges: Exchanges, new_key: NewKey
) -> None:
    """But is a request, and tells how the limits stand."""
    sdk = client(keyed, new_key("failing", MONTH, requests_per_minute=600))
    engine.script = refusal(400, "no")
    with pytest.raises(openai.BadRequestError) as caught:
        ask(sdk)
    assert caught.value.response.headers["x-ratelimit-remaining-requests"] == "599"
    assert used_in_the_end(exchanges, "failing", 0) == 0


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_tokens_are_the_engines_own(
    keyed: Gateway, exchanges: Exchanges, new_key: NewKey, stream: bool
) -> None:
    """What was reserved is replaced by what the engine counted, before the client has the end of its answer."""
    tenant = f"counting-{stream}".lower()
    sdk = client(keyed, new_key(tenant, MONTH))
    raw = ask(sdk, "one two three", max_tokens=500, stream=stream)
    if stream:
        chunks = list(raw.parse())
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello, world."
        assert all(chunk.usage is None for chunk in chunks)
    prompt = Asked(
        body={"messages": [{"role": "user", "content": "one two three"}]}, chat=True, request_id=""
    ).prompt_tokens
    raw.http_response.close()
    assert used(exchanges, tenant) == prompt + 4


def test_a_limited_stream_looks_like_any_other(keyed: Gateway, new_key: NewKey) -> None:
    """The engine counts in every event; the client sees the count where it asked for it, at the end."""
    streams = [
        [
            {
                name: value
                for name, value in msgspec.json.decode(line[6:]).items()
                if name not in ("id", "created")
            }
            for line in keyed.request(
                "POST",
                "/v1/chat/completions",
                chat('"choices":[{}],"usage":{}', stream=True, stream_options={"include_usage": usage}),
                {"authorization": f"Bearer {key}"},
            ).body.splitlines()
            if line.startswith(b"data: {")
        ]
        for key in (new_key(), new_key(tokens_per_day=10**6))
        for usage in (False, True)
    ]
    assert streams[0] == streams[2]
    assert streams[1] == streams[3]
    assert [("usage" in event) for event in streams[3]] == [False] * (len(streams[3]) - 1) + [True]


@pytest.mark.parametrize("choices", [1, 3])
def test_a_stream_that_its_client_breaks_off_is_charged(
    keyed: Gateway, engine: ScriptedEngine, exchanges: Exchanges, new_key: NewKey, choices: int
) -> None:
    """With what the engine had counted by then, no more and no less."""
    tenant = f"leaving-{choices}"
    sdk = client(keyed, new_key(tenant, MONTH))
    engine.script = SLOW
    messages: Any = [{"role": "user", "content": "x"}]
    with sdk.chat.completions.create(
        model="zephyr-7b-beta", messages=messages, stream=True, n=choices, max_tokens=900
    ) as stream:
        seen = 0
        for chunk in stream:
            seen += bool(chunk.choices[0].delta.content)
            if seen == 6 * choices:
                break
    assert engine.one().wait() == "aborted"
    (row,) = exchanges.sql("SELECT id FROM exchanges WHERE caller = $1", tenant) or [
        exchanges.get(engine.one().headers["x-request-id"])
    ]
    record = exchanges.get(row["id"].hex)
    assert record["outcome"] == "client_gone"
    counted = record["prompt_tokens"] + record["completion_tokens"]
    words = sum(len(choice["content"].split()) for choice in record["answer"])
    assert record["completion_tokens"] == words >= 6 * choices
    assert used_in_the_end(exchanges, tenant, counted) == counted


def test_a_plain_answer_that_is_broken_off_keeps_what_was_reserved(
    keyed: Gateway, engine: ScriptedEngine, exchanges: Exchanges, new_key: NewKey
) -> None:
    """The engine tells nothing of it, and nobody gains by leaving."""
    key = new_key("leaving-plain", MONTH)
    engine.script = Script(silence=60)
    with pytest.raises(openai.APITimeoutError):
        client(keyed, key).with_options(timeout=0.5).chat.completions.create(
            model="zephyr-7b-beta", messages=[{"role": "user", "content": "x"}], max_tokens=700
        )
    assert engine.one().wait() == "aborted"
    exchanges.get(engine.one().headers["x-request-id"])
    assert 700 < used(exchanges, "leaving-plain") < 800


def test_a_month_that_is_used_up_is_an_insufficient_quota(
    keyed: Gateway, engine: ScriptedEngine, new_key: NewKey
) -> None:
    """OpenAI's code for it, and no try again by the SDK, since that would be too early."""
    sdk = client(keyed, new_key(tokens_per_month=300), retries=2)
    assert outcome(sdk, max_tokens=200) == "Hello, world."
    engine.script = Script(pieces=("word ",) * 200)
    assert outcome(sdk, max_tokens=200) == "word " * 200
    refused = outcome(sdk, max_tokens=200)
    assert (refused.type, refused.code) == ("insufficient_quota", "insufficient_quota")
    assert int(refused.response.headers["retry-after"]) > 120
    assert len(engine.seen) == 2
    assert int(refused.response.headers["x-ratelimit-remaining-tokens"]) < 200


def test_what_can_never_fit_is_not_tried_again(keyed: Gateway, new_key: NewKey) -> None:
    """A request larger than the limit has no time at which it would be let in."""
    refused = outcome(client(keyed, new_key(tokens_per_minute=100), retries=2), max_tokens=101)
    assert (refused.type, refused.code) == ("tokens", "rate_limit_exceeded")
    assert "retry-after" not in refused.response.headers
    assert refused.response.headers["x-should-retry"] == "false"
    assert "Limit 100, Requested" in str(refused)


def test_a_replay_costs_nothing(keyed: Gateway, engine: ScriptedEngine, new_key: NewKey) -> None:
    """The answer of an idempotency key is given again, also to one who may ask for no more."""
    key = new_key(requests_per_minute=1)
    headers = {"authorization": f"Bearer {key}", "idempotency-key": uuid4().hex}
    first, again = (keyed.request("POST", "/v1/chat/completions", chat(), headers) for _ in range(2))
    assert (first.status, again.status, first.body) == (200, 200, again.body)
    assert "x-ratelimit-limit-requests" in first.headers
    assert "x-ratelimit-limit-requests" not in again.headers
    assert keyed.request(
        "POST", "/v1/chat/completions", chat(), headers | {"idempotency-key": "x"}
    ).status == (429)


def test_lines_are_requests_and_a_document_is_one(
    keyed: Gateway, exchanges: Exchanges, new_key: NewKey
) -> None:
    """Each line is refused or answered by itself; a document counts all its tokens in one place as one request."""
    key = new_key(requests_per_minute=10)
    authorization = {"authorization": f"Bearer {key}", "content-type": "application/x-ndjson"}
    lines = b'{"user_message": "x", "max_new_tokens": 4}\n' * 16
    answer = keyed.request("POST", "/zephyr/python", lines, authorization)
    found = results(answer)
    assert sum("response" in line for line in found.values()) == 10
    assert sum(line.get("error", {}).get("code") == "rate_limit_exceeded" for line in found.values()) == 6

    key = new_key("documents", MONTH, requests_per_minute=1, concurrent_requests=1)
    document = {"user_message": "def f(): pass", "max_new_tokens": 300}
    authorization = {"authorization": f"Bearer {key}"}
    answer = keyed.request("POST", "/zephyr/structured-code-doc", document, authorization)
    assert answer.status == 200, answer.body
    usage = answer.json["usage"]
    assert used(exchanges, "documents") == usage["prompt_tokens"] + usage["completion_tokens"]
    refused = keyed.request("POST", "/zephyr/structured-code-doc", document, authorization)
    assert refused.status == 429
    assert refused.error["type"] == "requests"


def test_a_refused_request_has_cost_the_engine_nothing(
    keyed: Gateway, engine: ScriptedEngine, new_key: NewKey
) -> None:
    """It never sees one, whatever the endpoint."""
    key = new_key(requests_per_minute=1)
    assert outcome(client(keyed, key)) == "Hello, world."
    bodies: dict[str, dict[str, object]] = {
        "/v1/chat/completions": chat(),
        "/v1/completions": {"prompt": "x"},
        "/v1/responses": {"input": "x"},
        "/zephyr/python": {"user_message": "x"},
        "/zephyr/structured-code-doc": {"user_message": "x"},
    }
    for path, body in bodies.items():
        for stream in (False, True):
            answer = keyed.request(
                "POST", path, body | {"stream": stream}, {"authorization": f"Bearer {key}"}
            )
            assert (answer.status, answer.error["type"]) == (429, "requests"), path
            assert answer.headers["x-ratelimit-remaining-requests"] == "0"
            assert 0 < int(answer.headers["retry-after"]) <= 60
    assert len(engine.seen) == 1


def test_streams_that_begin_carry_the_headers_before_the_end(
    keyed: Gateway, engine: ScriptedEngine, new_key: NewKey
) -> None:
    """They are in the head, long before the answer is there."""
    key = new_key(tokens_per_minute=10_000)
    engine.script = SLOW
    one = keyed.connect()
    content = msgspec.json.encode(chat(stream=True))
    one.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"authorization: Bearer %s\r\ncontent-length: %d\r\n\r\n%s" % (key.encode(), len(content), content)
    )
    head = read_until(one, b"data: ")
    one.close()
    assert b"x-ratelimit-limit-tokens: 10000" in head
