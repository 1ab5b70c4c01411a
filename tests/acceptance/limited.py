"""Callers with limits, and what is told of them."""

import asyncio
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import openai

from adapters.access.callers import Limits
from adapters.database.session import create_engine
from adapters.keys.key import Order, Tenant
from adapters.keys.repository import KeyRepository
from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import Gateway
from tests.databases import log_settings
from tests.fakes.engine import Script

NewKey = Callable[..., str]
SLOW = Script(pieces=("word ",) * 1000, pause=0.02)
MONTH = Limits(tokens_per_month=10**9)


def key_maker(url: str) -> NewKey:
    """Makes a key of a new tenant, or of one that is named, with limits of its own or of the tenant."""

    async def make(tenant: str, limits: Limits, of_tenant: Limits | None) -> str:
        engine = create_engine(log_settings(url))
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
    """An unmodified SDK client."""
    return openai.OpenAI(base_url=gateway.url + "/v1", api_key=key, max_retries=retries, timeout=30)


def ask(client: openai.OpenAI, text: str = "hello", **fields: Any) -> Any:
    """The SDK's raw answer, headers and all."""
    messages: Any = [{"role": "user", "content": text}]
    return client.chat.completions.with_raw_response.create(
        model="zephyr-7b-beta", messages=messages, **fields
    )


def outcome(client: openai.OpenAI, **fields: Any) -> Any:
    """The text of an answer, or the error that says that there is none now."""
    try:
        return ask(client, **fields).parse().choices[0].message.content
    except openai.RateLimitError as error:
        return error


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
