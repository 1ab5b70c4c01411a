"""The Dockerfiles' own commands, run here in clean environments, since no image is built by the tests."""

import asyncio
import http.client
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from adapters.database.session import connect
from tests import dockerfile
from tests.acceptance.gateway import free_port
from tests.databases import PostgresServer, log_settings, rows

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "gateway.Dockerfile"
ENGINE_DOCKERFILE = ROOT / "deploy" / "engine.Dockerfile"
HOME_IN_IMAGE = "/opt/zephyr"


@pytest.fixture(scope="module")
def gateway_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the build stage of the gateway's Dockerfile leaves in the image."""
    if importlib.util.find_spec("ensurepip") is None:
        pytest.skip("this Python cannot make an environment with pip in it, as the image's does")
    workdir = tmp_path_factory.mktemp("context")
    home = tmp_path_factory.mktemp("image") / "zephyr"
    for instruction in dockerfile.first_stage(DOCKERFILE):
        if instruction.name == "COPY":
            dockerfile.copy(instruction, ROOT, workdir)
        elif instruction.name == "RUN":
            run(instruction.rest.replace(HOME_IN_IMAGE, str(home)), workdir)
    return home


def test_gateway_image_answers_while_it_has_neither_engine_nor_database(
    gateway_home: Path, tmp_path: Path
) -> None:
    """The entry point starts from what the build installed, and from nothing of this checkout."""
    port = free_port()
    environment = {
        "PATH": f"{gateway_home}/bin:{os.environ['PATH']}",
        "ZEPHYR_PORT": str(port),
        "ZEPHYR_ADMIN_PORT": "0",
        "DATABASE_URL": f"postgresql://127.0.0.1:{free_port()}/zephyr",
        "ENGINE_URL": f"unix:{tmp_path}/engine.sock",
    }
    log = tmp_path / "log"
    with log.open("wb") as output:
        program, *arguments = entrypoint(DOCKERFILE)
        command = [str(gateway_home / "bin" / program), *arguments]
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=output, stderr=output)
    try:
        assert status(port, "/healthz", process, log) == 200
        assert status(port, "/readyz", process, log) == 503
    finally:
        process.terminate()
        assert process.wait(timeout=20) in (0, -signal.SIGTERM), log.read_text()


def test_gateway_image_does_not_hold_the_engine(gateway_home: Path) -> None:
    """Neither vLLM nor torch is in it."""
    installed = {path.name for path in gateway_home.glob("lib/python3.*/site-packages/*")}
    assert "fastapi" in installed
    assert not installed & {"vllm", "torch", "transformers"}


def test_engine_image_installs_its_launcher_by_the_same_commands() -> None:
    """So that what is run here for the gateway has been run for the engine as well."""
    in_gateway, in_engine = (installing(file) for file in (DOCKERFILE, ENGINE_DOCKERFILE))
    assert in_gateway == in_engine
    assert len(in_gateway) == 7


def test_launcher_starts_from_the_image_and_says_what_it_lacks(gateway_home: Path, tmp_path: Path) -> None:
    """The entry point of the engine's image finds its templates, and no vLLM here."""
    templates = list(gateway_home.glob("lib/python3.*/site-packages/serving/engine/templates/*.jinja"))
    assert templates
    missing = tmp_path / "no-python"
    environment = {
        "PATH": os.environ["PATH"],
        "ZEPHYR_HOME": str(tmp_path / "home"),
        "ZEPHYR_ENGINE_PYTHON": str(missing),
        "ZEPHYR_START_TRIES": "1",
    }
    program, *arguments = entrypoint(ENGINE_DOCKERFILE)
    command = [program.replace(HOME_IN_IMAGE, str(gateway_home)), *arguments]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert str(missing) in done.stderr.replace("\n", "")


def test_password_is_taken_from_the_variable_that_the_compose_file_sets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its URL names no password; any character may be in one."""
    password = "a/b@c:d%41 #?"
    server = PostgresServer()
    try:
        (found,) = rows(server.url, "SELECT setting FROM pg_settings WHERE name = 'hba_file'")
        rows(server.url, f"CREATE ROLE zephyr LOGIN PASSWORD '{password}'")
        access = Path(found["setting"])
        access.write_text(f"local all zephyr scram-sha-256\n{access.read_text()}")
        reload(server.url)
        url = f"postgresql://zephyr@/postgres?{urlsplit(server.url).query}"
        with pytest.raises(asyncpg.InvalidPasswordError):
            rows(url, "SELECT 1")
        monkeypatch.setenv("PGPASSWORD", password)
        assert asyncio.run(user_of(url)) == "zephyr"
    finally:
        server.close()


def reload(url: str) -> None:
    """Have the server read its access rules again, and wait until it has."""
    loaded = "SELECT pg_conf_load_time() AS at"
    (before,) = rows(url, loaded)
    rows(url, "SELECT pg_reload_conf()")
    limit = time.monotonic() + 5
    while rows(url, loaded)[0]["at"] == before["at"]:
        assert time.monotonic() < limit
        time.sleep(0.02)


async def user_of(url: str) -> str:
    """Who the gateway's own way of connecting is to the server."""
    connection = await connect(log_settings(url))
    try:
        name: str = await connection.fetchval("SELECT current_user")
    finally:
        await connection.close()
    return name


def installing(file: Path) -> list[str]:
    """The instructions that put the locked packages and ours into the environment."""
    found = [f"{one.name} {one.rest}" for one in dockerfile.first_stage(file)]
    return [text for text in found if text.startswith("COPY ") or "/bin/pip install " in text]


def run(command: str, workdir: Path) -> None:
    search = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["/bin/sh", "-ec", command],
        cwd=workdir,
        env=os.environ | {"PATH": search},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


def entrypoint(file: Path) -> list[str]:
    given = [one.rest for one in dockerfile.instructions(file) if one.name == "ENTRYPOINT"]
    words: list[str] = json.loads(given[-1])
    return words


def status(port: int, path: str, process: subprocess.Popen[bytes], log: Path) -> int:
    limit = time.monotonic() + 20
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            assert process.poll() is None and time.monotonic() < limit, log.read_text()
            time.sleep(0.05)
        finally:
            connection.close()
