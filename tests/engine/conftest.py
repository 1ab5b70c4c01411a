"""Real engines, each started once for the suite when the first test asks for it, and a gateway before each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import Gateway
from tests.databases import other_database, rows
from tests.engine import zephyr_shaped as shape
from tests.engine.engines import RealEngine
from tests.fakes.collector import Collector


@pytest.fixture(scope="session")
def smollm2_engine() -> Iterator[RealEngine]:
    """vLLM with the default model."""
    engine = RealEngine()
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def zephyr_shaped_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the tiny model of Zephyr's shape."""
    folder = tmp_path_factory.mktemp("models") / "zephyr-shaped"
    shape.write(folder)
    return folder


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """Where the traces of the model of Zephyr's shape go."""
    with Collector() as collector:
        yield collector


@pytest.fixture(scope="session")
def zephyr_shaped_engine(zephyr_shaped_folder: Path, collector: Collector) -> Iterator[RealEngine]:
    """vLLM with the tiny model of Zephyr's shape."""
    engine = RealEngine(zephyr_shaped_folder, *shape.ARGUMENTS, traces_endpoint=collector.url)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def smollm2_log(postgres_url: str, _template: str) -> Exchanges:
    """What the gateway before the default model has recorded."""
    return new_log(postgres_url, _template, "engine_smollm2")


@pytest.fixture(scope="session")
def zephyr_shaped_log(postgres_url: str, _template: str) -> Exchanges:
    """What the gateway before the model of Zephyr's shape has recorded."""
    return new_log(postgres_url, _template, "engine_zephyr_shaped")


@pytest.fixture(scope="session")
def smollm2(
    smollm2_engine: RealEngine, smollm2_log: Exchanges, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """The gateway before the default model."""
    yield from gateway_before(smollm2_engine, smollm2_log, tmp_path_factory.mktemp("gateway"))


@pytest.fixture(scope="session")
def zephyr_shaped(
    zephyr_shaped_engine: RealEngine,
    zephyr_shaped_log: Exchanges,
    collector: Collector,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Gateway]:
    """The gateway before the model of Zephyr's shape; it traces."""
    folder = tmp_path_factory.mktemp("gateway")
    yield from gateway_before(
        zephyr_shaped_engine, zephyr_shaped_log, folder, ZEPHYR_TRACES_ENDPOINT=collector.url
    )


def new_log(server: str, template: str, name: str) -> Exchanges:
    rows(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    return Exchanges(other_database(server, name))


def gateway_before(engine: RealEngine, log: Exchanges, folder: Path, **settings: str) -> Iterator[Gateway]:
    with Gateway(folder / "gateway.log", ENGINE_URL=engine.url, DATABASE_URL=log.url, **settings) as gateway:
        yield gateway
