"""The gateway as a service: what it is told of the engine."""

import pytest

from serving.engine.profile import Places
from serving.gateway import Gateway
from serving.settings import Settings


async def test_the_gateway_is_told_what_the_engine_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an engine elsewhere the host knows nothing: what the environment says stands."""
    monkeypatch.setenv("ZEPHYR_ENGINE_CONCURRENCY", "7")

    async def told(places: dict[str, str]) -> list[str | None]:
        settings = Settings()  # type: ignore[call-arg]  # all have defaults
        gateway = Gateway(
            settings, engine_url="unix:/e", database_url="postgresql:///z", engine_settings=places
        )
        environment = (await gateway.command()).environment
        return [environment.get(f"ZEPHYR_ENGINE_{name}") for name in ("CONCURRENCY", "SPARE")]

    assert await told(Places(usual=16, spare=2).environment) == ["16", "2"]
    assert await told({}) == ["7", None]
