"""The parts that acceptance tests share: one scripted engine, one database and one gateway for all that can."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import ROOT, Gateway
from tests.acceptance.keys import Holder, created
from tests.acceptance.limited import NewKey, key_maker
from tests.acceptance.node_sdk import node_project  # noqa: F401  # a fixture
from tests.databases import other_database, rows
from tests.fakes.engine import ScriptedEngine

NewGateway = Callable[..., Gateway]


@pytest.fixture(scope="session")
def log_url(postgres_url: str) -> str:
    """A migrated database for the whole suite."""
    rows(postgres_url, "CREATE DATABASE acceptance")
    url = other_database(postgres_url, "acceptance")
    migrate(url)
    return url


def migrate(url: str) -> None:
    """Run the gateway's own command for it."""
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": url}
    subprocess.run([sys.executable, "-m", "adapters", "migrate"], cwd=ROOT, env=environment, check=True)


@pytest.fixture(scope="session")
def _engine() -> Iterator[ScriptedEngine]:
    with ScriptedEngine() as engine:
        yield engine


@pytest.fixture(autouse=True)
def engine(_engine: ScriptedEngine) -> ScriptedEngine:
    """The scripted engine, well and with nothing seen yet, whatever the last test had it do."""
    _engine.forget()
    return _engine


@pytest.fixture(scope="session")
def exchanges(log_url: str) -> Exchanges:
    """The exchanges that the gateway has recorded."""
    return Exchanges(log_url)


@pytest.fixture(scope="session")
def new_gateway(
    log_url: str, _engine: ScriptedEngine, tmp_path_factory: pytest.TempPathFactory
) -> NewGateway:
    """Makes a gateway in front of the scripted engine, with other settings where given."""

    def make(**environment: str) -> Gateway:
        log = tmp_path_factory.mktemp("gateway") / "gateway.log"
        return Gateway(log, **{"ENGINE_URL": _engine.url, "DATABASE_URL": log_url} | environment)

    return make


@pytest.fixture(scope="session")
def gateway(new_gateway: NewGateway) -> Iterator[Gateway]:
    """The gateway that most tests share."""
    with new_gateway() as gateway:
        yield gateway


@pytest.fixture(scope="session")
def keyed(new_gateway: NewGateway) -> Iterator[Gateway]:
    """A gateway that needs keys."""
    with new_gateway(ZEPHYR_REQUIRE_KEYS="true") as gateway:
        yield gateway


@pytest.fixture(scope="session")
def admin(keyed: Gateway, log_url: str) -> Holder:
    """Whoever makes the keys of that gateway."""
    made = created(log_url, "operator", "--scope", "admin")
    return Holder(gateway=keyed, id=made["id"], key=made["key"])


@pytest.fixture(scope="session")
def new_key(log_url: str) -> NewKey:
    """Makes keys with limits, for gateways that need keys."""
    return key_maker(log_url)
