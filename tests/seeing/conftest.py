"""A real gateway that has been through something, and what its pages said then."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from adapters.app import Gateway as Application
from adapters.database.migrate import migrate
from adapters.settings import Settings
from tests.acceptance.gateway import chat
from tests.databases import log_settings, other_database, rows
from tests.fakes.engine import Script
from tests.overload.stand import Stand, stand
from tests.seeing.pages import Figures, figures, kept

OF_PROMETHEUS = Figures({"up": [{}]})
"""What Prometheus tells of each target."""
SECRET = "the answer to this is a secret"


@pytest.fixture(scope="session")
def seen_stand(postgres_url: str) -> Iterator[Stand]:
    """A gateway with a scripted engine that notices within a second when it hangs."""
    rows(postgres_url, "CREATE DATABASE seeing")
    url = other_database(postgres_url, "seeing")
    asyncio.run(migrate(log_settings(url)))
    with stand(
        url,
        ZEPHYR_ENGINE_CONCURRENCY="1",
        ZEPHYR_ENGINE_SPARE="0",
        ZEPHYR_ENGINE_QUIET_SECONDS="0.3",
        ZEPHYR_ENGINE_HANG_SECONDS="1.0",
    ) as parts:
        yield parts


@pytest.fixture(scope="session")
def captured(seen_stand: Stand, tmp_path_factory: pytest.TempPathFactory) -> Figures:
    """What there is to see: of a gateway under a little load, of one with keys, of vLLM and of its router."""
    seen_stand.engine.scripts["broken"] = Script(stop_after=1, ending="reset")
    for body in (chat(), chat(stream=True), chat("broken", stream=True), chat(temperature=9)):
        seen_stand.gateway.post("/v1/chat/completions", body)
    seen_stand.gateway.post("/zephyr/python", {"user_message": "hello"})
    live = figures(seen_stand.gateway.admin("GET", "/metrics").body.decode())
    keyed = with_keys(tmp_path_factory.mktemp("spool"))
    return live | keyed | kept("vllm-0.32.0.txt") | kept("vllm-router-0.1.17.txt") | OF_PROMETHEUS


def with_keys(spool: Path) -> Figures:
    """The page of a gateway that needs keys, before it starts."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ZEPHYR_SPOOL_DIR", str(spool))
        environment.setenv("ZEPHYR_REQUIRE_KEYS", "true")
        application = Application(Settings.read())
    return figures(TestClient(application.admin, base_url="http://localhost").get("/metrics").text)
