"""Limits hold over gateways, also when one is killed or the database is away."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import openai
import pytest

from adapters.access.callers import Limits
from tests.acceptance.conftest import NewGateway, migrate
from tests.acceptance.gateway import Answer, Gateway, chat
from tests.acceptance.keys import created
from tests.acceptance.limited import SLOW, NewKey, client, outcome
from tests.databases import PostgresServer, rows
from tests.fakes.engine import Script, ScriptedEngine
from tests.valkey import ValkeyServer


@pytest.fixture(scope="module")
def gateways(new_gateway: NewGateway) -> Iterator[tuple[Gateway, Gateway]]:
    """Two that need keys."""
    settings = {"ZEPHYR_REQUIRE_KEYS": "true", "ZEPHYR_LIMITS_LEASE": "2"}
    with new_gateway(**settings) as one, new_gateway(**settings) as other:
        yield one, other


@pytest.fixture(autouse=True)
def _well(engine: ScriptedEngine) -> None:
    """The engine begins each test well."""


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
            time.sleep(2.5)  # longer than a lease
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
    new_gateway: NewGateway, gateways: tuple[Gateway, Gateway], engine: ScriptedEngine, new_key: NewKey
) -> None:
    """With `kill -9` its places are free within the time of a lease."""
    key = new_key(concurrent_requests=1)
    engine.scripts = {"long": SLOW}
    with new_gateway(ZEPHYR_REQUIRE_KEYS="true", ZEPHYR_LIMITS_LEASE="2") as doomed:
        with doomed.opened(
            "POST",
            "/v1/chat/completions",
            chat("long", stream=True),
            {"authorization": f"Bearer {key}"},
        ) as response:
            assert response.read(1)
            assert isinstance(outcome(client(gateways[0], key)), openai.RateLimitError)
            doomed.kill()
        killed = time.monotonic()
        while outcome(client(gateways[0], key)) != "Hello, world.":
            assert time.monotonic() - killed < 4
            time.sleep(0.05)


def test_limits_in_valkey_and_what_an_overloaded_gateway_refuses(
    new_gateway: NewGateway, engine: ScriptedEngine, new_key: NewKey, tmp_path: Path, log_url: str
) -> None:
    """They are counted there and not in PostgreSQL; a request without a place consumes nothing of them."""
    key = new_key(requests_per_minute=600, concurrent_requests=5, tokens_per_day=100_000)
    authorization = {"authorization": f"Bearer {key}"}
    engine.scripts = {"long": SLOW}
    before = rows(log_url, "SELECT subject FROM limit_states")
    with (
        ValkeyServer(tmp_path) as server,
        new_gateway(
            ZEPHYR_REQUIRE_KEYS="true", ZEPHYR_MAX_OPEN_GENERATIONS="1", ZEPHYR_LIMITS_URL=server.url
        ) as gateway,
        gateway.opened("POST", "/v1/chat/completions", chat("long", stream=True), authorization) as response,
    ):
        assert response.read(1)
        assert response.headers["x-ratelimit-remaining-requests"] == "599"
        for _ in range(20):
            refused = gateway.request("POST", "/v1/chat/completions", chat(), authorization)
            assert (refused.status, refused.error["code"]) == (503, "overloaded")
        time.sleep(0.5)
        again = gateway.request("POST", "/v1/chat/completions", chat(), authorization)
        assert again.headers["x-ratelimit-remaining-requests"] in ("598", "599")
        assert 98_000 < int(again.headers["x-ratelimit-remaining-tokens"]) < 99_999
    assert rows(log_url, "SELECT subject FROM limit_states") == before


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
