"""What tenants share of a real vLLM, and what they do not."""

from collections.abc import Iterator
from typing import Any

import pytest

from serving.readiness import ask
from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import Gateway, chat
from tests.acceptance.keys import Holder, created
from tests.engine.engines import ANSWER_SECONDS, RealEngine

pytestmark = pytest.mark.engine
LONG = "Tell me what you know of light houses and of those who keep them. " * 40
"""Some blocks of the engine's cache."""


@pytest.fixture(scope="module")
def keyed(
    smollm2_engine: RealEngine, smollm2_log: Exchanges, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A gateway before the default model that needs keys."""
    log = tmp_path_factory.mktemp("gateway") / "gateway.log"
    settings = {"ENGINE_URL": smollm2_engine.url, "DATABASE_URL": smollm2_log.url}
    with Gateway(log, ZEPHYR_REQUIRE_KEYS="true", **settings) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def holders(keyed: Gateway, smollm2_log: Exchanges) -> dict[str, Holder]:
    """Two keys of one tenant, and one of another."""
    tenants = {"alice": "alice", "colleague": "alice", "bob": "bob"}
    made = {name: created(smollm2_log.url, tenant) for name, tenant in tenants.items()}
    return {name: Holder(gateway=keyed, id=key["id"], key=key["key"]) for name, key in made.items()}


def cached_tokens(holder: Holder) -> int:
    """How much of the long prompt the engine knew."""
    answer = holder.post("/v1/chat/completions", chat(LONG, max_tokens=1))
    assert answer.status == 200, answer.body
    details: dict[str, Any] = answer.json["usage"]["prompt_tokens_details"]
    return int(details["cached_tokens"])


def test_tenants_share_no_prefix_cache(holders: dict[str, Holder]) -> None:
    """Who asks what another tenant has asked cannot tell it from the time it takes. Within a tenant it is reused."""
    assert cached_tokens(holders["alice"]) == 0
    assert cached_tokens(holders["alice"]) > 256
    assert cached_tokens(holders["colleague"]) > 256
    assert cached_tokens(holders["bob"]) == 0
    assert cached_tokens(holders["bob"]) > 256


@pytest.mark.parametrize("priority", [-(2**31) + 1, -1, 0, 7, 2**31 - 1])
def test_the_engine_takes_every_priority_that_the_gateway_gives(
    smollm2_engine: RealEngine, priority: int
) -> None:
    body = chat(max_tokens=1) | {"model": smollm2_engine.model, "priority": priority}
    assert ask(smollm2_engine.url, "/v1/chat/completions", body, timeout=ANSWER_SECONDS).status == 200
