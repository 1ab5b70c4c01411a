"""Limits of keys and tenants, through two real gateways on one database and the unmodified SDK."""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import msgspec
import openai
import pytest

from adapters.access.callers import Limits
from adapters.database.session import create_engine
from adapters.keys.key import Order, Tenant
from adapters.keys.repository import KeyRepository
from tests.acceptance.conftest import NewGateway, migrate
from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import Answer, Gateway, chat, read_until
from tests.acceptance.keys import created
from tests.acceptance.zephyr import results
from tests.databases import PostgresServer, log_settings
from tests.fakes.answers import Asked
from tests.fakes.engine import Script, ScriptedEngine, refusal

NewKey = Callable[..., str]
SLOW = Script(pieces=("word ",) * 1000, pause=0.02)


@pytest.fixture(scope="module")
def gateways(new_gateway: NewGateway) -> Iterator[tuple[Gateway, Gateway]]:
    """Two that need keys."""
    settings = {"ZEPHYR_REQUIRE_KEYS": "true", "ZEPHYR_LIMITS_LEASE": "1"}
    with new_gateway(**settings) as one, new_gateway(**settings) as other:
        yield one, other


@pytest.fixture(scope="module")
def limited(gateways: tuple[Gateway, Gateway]) -> Gateway:
    """The first of them."""
    return gateways[0]


@pytest.fixture(autouse=True)
def _well(engine: ScriptedEngine) -> None:
    """The engine begins each test well."""


@pytest.fixture(scope="module")
def new_key(log_url: str) -> NewKey:
    """Makes a key of a new tenant, or of one that is named, with limits of its own or of the tenant."""

    async def make(tenant: str, limits: Limits, of_tenant: Limits | None) -> str:
        engine = create_engine(log_settings(log_url))
        keys = KeyRepository(engine)
        _, secret = await keys.create(Order(tenant=tenant, limits=limits))
        if of_tenant is not None:
            await keys.set_tenant(Tenant(name=tenant, limits=of_tenant))
        await engine.dispose()
        return secret.get_secret_value()

    def new(tenant: str | None = None, of_tenant: Limits | None = None, **limits: int) -> str:
        return asyncio.run(make(tenant or f"t{uuid4().hex[:12]}", Limits(**limits), of_tenant))

    return new


def client(gateway: Gateway, key: str, *, retries: int = 0) -> openai.OpenAI:
    return openai.OpenAI(base_url=gateway.url + "/v1", api_key=key, max_retries=retries, timeout=30)


def ask(client: openai.OpenAI, text: str = "hello", **fields: Any) -> Any:
    """The SDK's raw answer, headers and all."""
    messages: Any = [{"role": "user", "content": text}]
    return client.chat.completions.with_raw_response.create(
        model="zephyr-7b-beta", messages=messages, **fields
    )


def used(exchanges: Exchanges, tenant: str) -> int:
    """The tokens that a tenant is charged with this month."""
    (row,) = exchanges.sql("SELECT month_tokens FROM limit_states WHERE subject = $1", f"tenant:{tenant}")
    tokens: int = row["month_tokens"]
    return tokens


def used_in_the_end(exchanges: Exchanges, tenant: str, expected: int) -> int:
    """The same, as soon as it is what is expected, or after two seconds."""
    limit = time.monotonic() + 2
    while (found := used(exchanges, tenant)) != expected and time.monotonic() < limit:
        time.sleep(0.02)
    return found


MONTH = Limits(tokens_per_month=10**9)


def test_a_refused_request_says_truly_when_to_come_back(limited: Gateway, new_key: NewKey) -> None:
    """As OpenAI does it: type, code, headers; at that time it is let in, a bit before it is not."""
    key = new_key(requests_per_minute=60)
    sdk = client(limited, key)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: outcome(sdk), range(75)))
    refused = [one for one in answers if isinstance(one, openai.RateLimitError)]
    assert 1 <= len(refused) <= 15
    while not isinstance(last := outcome(sdk), openai.RateLimitError):
        continue
    now = time.monotonic()
    body: Any = last.body
    assert (body["type"], body["code"], body["param"]) == ("requests", "rate_limit_exceeded", None)
    assert last.response.headers["x-ratelimit-limit-requests"] == "60"
    assert last.response.headers["x-ratelimit-remaining-requests"] == "0"
    wait = int(last.response.headers["retry-after-ms"]) / 1000
    assert 0 < wait <= 1
    assert last.response.headers["retry-after"] == "1"
    time.sleep(max(0.0, now + wait - 0.25 - time.monotonic()))
    assert isinstance(outcome(sdk), openai.RateLimitError)
    time.sleep(max(0.0, now + wait - time.monotonic()))
    assert outcome(sdk) == "Hello, world."


def outcome(sdk: openai.OpenAI, **fields: Any) -> Any:
    try:
        return ask(sdk, **fields).parse().choices[0].message.content
    except openai.RateLimitError as error:
        return error


def test_the_sdk_waits_by_itself(limited: Gateway, new_key: NewKey) -> None:
    """It tries again when it was told to, and gets its answer."""
    sdk = client(limited, new_key(requests_per_minute=120), retries=2)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: outcome(sdk), range(122)))
    assert answers == ["Hello, world."] * 122


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_answers_tell_how_the_limits_stand(limited: Gateway, new_key: NewKey, stream: bool) -> None:
    """Of key and tenant the tighter one, in OpenAI's forms, on every kind of endpoint and on errors of the engine."""
    key = new_key(
        of_tenant=Limits(requests_per_minute=10**6, tokens_per_minute=4_000), requests_per_minute=600
    )
    headers = ask(client(limited, key), max_tokens=40, stream=stream).headers
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
        answer = limited.request("POST", path, body | {"stream": stream}, authorization)
        assert answer.status == 200, answer.body
        assert answer.headers["x-ratelimit-limit-requests"] == "600", path


def test_who_has_no_limits_is_told_of_none(limited: Gateway, new_key: NewKey) -> None:
    """And is not counted either."""
    headers = ask(client(limited, new_key())).headers
    assert not [name for name in headers if "ratelimit" in name]


def test_an_error_of_the_engine_uses_no_tokens(
    limited: Gateway, engine: ScriptedEngine, exchanges: Exchanges, new_key: NewKey
) -> None:
    """But is a request, and tells how the limits stand."""
    sdk = client(limited, new_key("failing", MONTH, requests_per_minute=600))
    engine.script = refusal(400, "no")
    with pytest.raises(openai.BadRequestError) as caught:
        ask(sdk)
    assert caught.value.response.headers["x-ratelimit-remaining-requests"] == "599"
    assert used_in_the_end(exchanges, "failing", 0) == 0


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_tokens_are_the_engines_own(
    limited: Gateway, exchanges: Exchanges, new_key: NewKey, stream: bool
) -> None:
    """What was reserved is replaced by what the engine counted, before the client has the end of its answer."""
    tenant = f"counting-{stream}".lower()
    sdk = client(limited, new_key(tenant, MONTH))
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


def test_a_limited_stream_looks_like_any_other(limited: Gateway, new_key: NewKey) -> None:
    """The engine counts in every event; the client sees the count where it asked for it, at the end."""
    streams = [
        [
            {
                name: value
                for name, value in msgspec.json.decode(line[6:]).items()
                if name not in ("id", "created")
            }
            for line in limited.request(
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
    limited: Gateway, engine: ScriptedEngine, exchanges: Exchanges, new_key: NewKey, choices: int
) -> None:
    """With what the engine had counted by then, no more and no less."""
    tenant = f"leaving-{choices}"
    sdk = client(limited, new_key(tenant, MONTH))
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
    limited: Gateway, engine: ScriptedEngine, exchanges: Exchanges, new_key: NewKey
) -> None:
    """The engine tells nothing of it, and nobody gains by leaving."""
    key = new_key("leaving-plain", MONTH)
    engine.script = Script(silence=60)
    with pytest.raises(openai.APITimeoutError):
        client(limited, key).with_options(timeout=0.5).chat.completions.create(
            model="zephyr-7b-beta", messages=[{"role": "user", "content": "x"}], max_tokens=700
        )
    assert engine.one().wait() == "aborted"
    exchanges.get(engine.one().headers["x-request-id"])
    assert 700 < used(exchanges, "leaving-plain") < 800


def test_a_month_that_is_used_up_is_an_insufficient_quota(
    limited: Gateway, engine: ScriptedEngine, new_key: NewKey
) -> None:
    """OpenAI's code for it, and no try again by the SDK, since that would be too early."""
    sdk = client(limited, new_key(tokens_per_month=300), retries=2)
    assert outcome(sdk, max_tokens=200) == "Hello, world."
    engine.script = Script(pieces=("word ",) * 200)
    assert outcome(sdk, max_tokens=200) == "word " * 200
    refused = outcome(sdk, max_tokens=200)
    assert (refused.type, refused.code) == ("insufficient_quota", "insufficient_quota")
    assert int(refused.response.headers["retry-after"]) > 120
    assert len(engine.seen) == 2
    assert int(refused.response.headers["x-ratelimit-remaining-tokens"]) < 200


def test_what_can_never_fit_is_not_tried_again(limited: Gateway, new_key: NewKey) -> None:
    """A request larger than the limit has no time at which it would be let in."""
    refused = outcome(client(limited, new_key(tokens_per_minute=100), retries=2), max_tokens=101)
    assert (refused.type, refused.code) == ("tokens", "rate_limit_exceeded")
    assert "retry-after" not in refused.response.headers
    assert refused.response.headers["x-should-retry"] == "false"
    assert "Limit 100, Requested" in str(refused)


def test_a_tenants_limit_holds_over_keys_and_gateways(
    gateways: tuple[Gateway, Gateway], engine: ScriptedEngine, new_key: NewKey
) -> None:
    """Of sixty requests at once with four keys by two gateways, as many are let in as the day has room for."""
    tenant = f"t{uuid4().hex[:12]}"
    keys = [new_key(tenant, Limits(tokens_per_day=20_000)) for _ in range(4)]
    engine.script = Script(silence=2)  # so that nothing is given back before all have been judged

    def go(number: int) -> Answer:
        authorization = {"authorization": f"Bearer {keys[number % 4]}"}
        return gateways[number % 2].request(
            "POST", "/v1/chat/completions", chat(max_tokens=980), authorization
        )

    with ThreadPoolExecutor(60) as pool:
        answers = list(pool.map(go, range(60)))
    let = [answer for answer in answers if answer.status == 200]
    first = max(int(answer.headers["x-ratelimit-remaining-tokens"]) for answer in let)
    assert len(let) == 20_000 // (20_000 - first) == 19
    assert {answer.error["code"] for answer in answers if answer not in let} == {"insufficient_quota"}


def test_requests_at_once_are_leases(
    gateways: tuple[Gateway, Gateway], engine: ScriptedEngine, new_key: NewKey
) -> None:
    """As many as allowed at once by both gateways; the next is let in when one ends, and not before."""
    key = new_key(concurrent_requests=2)
    engine.scripts = {"long": SLOW}
    with ThreadPoolExecutor(2) as pool:
        streams = [
            pool.submit(
                gateway.opened,
                "POST",
                "/v1/chat/completions",
                chat("long", stream=True),
                {"authorization": f"Bearer {key}"},
            ).result()
            for gateway in gateways
        ]
        with streams[0] as first, streams[1] as second:
            assert first.read(1)
            assert second.read(1)
            time.sleep(1.5)  # longer than a lease
            refused = outcome(client(gateways[0], key))
            assert (refused.type, refused.code) == ("requests", "rate_limit_exceeded")
        for seen in engine.seen:
            assert seen.wait() == "aborted"
    limit = time.monotonic() + 2
    while outcome(client(gateways[1], key)) != "Hello, world.":
        assert time.monotonic() < limit


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_one_request_after_the_other_needs_one_place(
    gateways: tuple[Gateway, Gateway], new_key: NewKey, stream: bool
) -> None:
    """Whoever has the end of an answer has its place back, at any gateway."""
    key = new_key(concurrent_requests=1)
    for number in range(30):
        answer = gateways[number % 2].request(
            "POST",
            "/v1/chat/completions",
            chat(stream=stream),
            {"authorization": f"Bearer {key}"},
        )
        assert answer.status == 200, number


def test_a_killed_gateway_keeps_no_place(
    new_gateway: NewGateway, limited: Gateway, engine: ScriptedEngine, new_key: NewKey
) -> None:
    """With `kill -9` its places are free within the time of a lease."""
    key = new_key(concurrent_requests=1)
    engine.scripts = {"long": SLOW}
    with new_gateway(ZEPHYR_REQUIRE_KEYS="true", ZEPHYR_LIMITS_LEASE="1") as doomed:
        with doomed.opened(
            "POST",
            "/v1/chat/completions",
            chat("long", stream=True),
            {"authorization": f"Bearer {key}"},
        ) as response:
            assert response.read(1)
            assert isinstance(outcome(client(limited, key)), openai.RateLimitError)
            doomed.kill()
        killed = time.monotonic()
        while outcome(client(limited, key)) != "Hello, world.":
            assert time.monotonic() - killed < 1.5
            time.sleep(0.05)


def test_while_the_database_is_away_a_gateway_keeps_the_limits_alone(new_gateway: NewGateway) -> None:
    """It goes on from what it knew, answers from its spool, and says in its figures that it counts alone."""
    server = PostgresServer()
    try:
        migrate(server.url)
        key = created(server.url, "somebody", "--requests-per-minute", "10", "--tokens-per-day", "100000")[
            "key"
        ]
        with new_gateway(DATABASE_URL=server.url, ZEPHYR_REQUIRE_KEYS="true") as gateway:
            sdk = client(gateway, key)
            assert [outcome(sdk) for _ in range(4)] == ["Hello, world."] * 4
            server.kill()
            answers = [outcome(sdk) for _ in range(20)]
            figures = gateway.admin("GET", "/metrics").body
        assert answers[:6] == ["Hello, world."] * 6
        assert sum(isinstance(one, openai.RateLimitError) for one in answers) >= 13
        assert b"zephyr_limits_alone_total 20.0" in figures
        assert b"zephyr_limits_store_up 0.0" in figures
    finally:
        server.close()


def test_a_replay_costs_nothing(limited: Gateway, engine: ScriptedEngine, new_key: NewKey) -> None:
    """The answer of an idempotency key is given again, also to one who may ask for no more."""
    key = new_key(requests_per_minute=1)
    headers = {"authorization": f"Bearer {key}", "idempotency-key": uuid4().hex}
    first, again = (limited.request("POST", "/v1/chat/completions", chat(), headers) for _ in range(2))
    assert (first.status, again.status, first.body) == (200, 200, again.body)
    assert "x-ratelimit-limit-requests" in first.headers
    assert "x-ratelimit-limit-requests" not in again.headers
    assert limited.request(
        "POST", "/v1/chat/completions", chat(), headers | {"idempotency-key": "x"}
    ).status == (429)


def test_lines_are_requests_and_a_document_is_one(
    limited: Gateway, exchanges: Exchanges, new_key: NewKey
) -> None:
    """Each line is refused or answered by itself; a document counts all its tokens in one place as one request."""
    key = new_key(requests_per_minute=10)
    authorization = {"authorization": f"Bearer {key}", "content-type": "application/x-ndjson"}
    lines = b'{"user_message": "x", "max_new_tokens": 4}\n' * 16
    answer = limited.request("POST", "/zephyr/python", lines, authorization)
    found = results(answer)
    assert sum("response" in line for line in found.values()) == 10
    assert sum(line.get("error", {}).get("code") == "rate_limit_exceeded" for line in found.values()) == 6

    key = new_key("documents", MONTH, requests_per_minute=1, concurrent_requests=1)
    document = {"user_message": "def f(): pass", "max_new_tokens": 300}
    authorization = {"authorization": f"Bearer {key}"}
    answer = limited.request("POST", "/zephyr/structured-code-doc", document, authorization)
    assert answer.status == 200, answer.body
    usage = answer.json["usage"]
    assert used(exchanges, "documents") == usage["prompt_tokens"] + usage["completion_tokens"]
    refused = limited.request("POST", "/zephyr/structured-code-doc", document, authorization)
    assert refused.status == 429
    assert refused.error["type"] == "requests"


def test_a_refused_request_has_cost_the_engine_nothing(
    limited: Gateway, engine: ScriptedEngine, new_key: NewKey
) -> None:
    """It never sees one, and the log has none of it."""
    sdk = client(limited, new_key(requests_per_minute=1))
    outcome(sdk)
    for _ in range(5):
        assert isinstance(outcome(sdk), openai.RateLimitError)
    assert len(engine.seen) == 1


def test_streams_that_begin_carry_the_headers_before_the_end(
    limited: Gateway, engine: ScriptedEngine, new_key: NewKey
) -> None:
    """They are in the head, long before the answer is there."""
    key = new_key(tokens_per_minute=10_000)
    engine.script = SLOW
    one = limited.connect()
    content = msgspec.json.encode(chat(stream=True))
    one.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"authorization: Bearer %s\r\ncontent-length: %d\r\n\r\n%s" % (key.encode(), len(content), content)
    )
    head = read_until(one, b"data: ")
    one.close()
    assert b"x-ratelimit-limit-tokens: 10000" in head
