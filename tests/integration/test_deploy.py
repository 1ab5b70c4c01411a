"""The Dockerfiles' own commands, run here in clean environments, since no image is built by the tests."""

import asyncio
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from adapters.database.session import connect
from adapters.settings import Settings
from tests import dockerfile
from tests.acceptance.gateway import Gateway, chat, free_port
from tests.databases import PostgresServer, rows
from tests.fakes.engine import ScriptedEngine

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "gateway.Dockerfile"
ENGINE_DOCKERFILE = ROOT / "deploy" / "engine.Dockerfile"
CPU_DOCKERFILE = ROOT / "deploy" / "engine-cpu.Dockerfile"
ROUTER_DOCKERFILE = ROOT / "deploy" / "router.Dockerfile"
HOME_IN_IMAGE = "/opt/zephyr"


@pytest.fixture(scope="module")
def gateway_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the build stage of the gateway's Dockerfile leaves in the image."""
    return dockerfile.left_by(DOCKERFILE, HOME_IN_IMAGE, ROOT, tmp_path_factory.mktemp("image"))


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


@pytest.mark.parametrize("file", [ENGINE_DOCKERFILE, CPU_DOCKERFILE], ids=lambda file: file.name)
def test_engine_image_installs_its_launcher_by_the_same_commands(file: Path) -> None:
    """So that what is run here for the gateway has been run for the engine as well; it leaves out the page alone."""
    page = {"COPY page page", "COPY setup/page.py setup/page.lock setup/hatch_page.py setup/"}
    in_gateway = [line for line in installing(DOCKERFILE) if line not in page]
    own = {
        "COPY setup/page.py setup/hatch_page.py setup/",
        "COPY setup/environment.py setup/engine-cpu.lock setup/",
    }
    assert [line for line in installing(file) if line not in own] == in_gateway
    assert len(in_gateway) == 7


def test_wheel_is_built_without_the_sources_of_the_page(tmp_path: Path) -> None:
    """As in the engine's images, which do not have them."""
    for instruction in dockerfile.first_stage(ENGINE_DOCKERFILE):
        if instruction.name == "COPY":
            dockerfile.copy(instruction, ROOT, tmp_path)
    shutil.rmtree(
        tmp_path / "adapters" / "web" / "chat", ignore_errors=True
    )  # which this checkout may have built
    pip = f"{sys.executable} -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir built ."
    dockerfile.run(pip, tmp_path)
    (wheel,) = (tmp_path / "built").glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    assert {"serving/engine/port.py", "adapters/app.py"} <= names
    assert not any(name.startswith("adapters/web/chat/") for name in names)


def test_processors_engine_is_installed_as_on_a_bare_machine() -> None:
    """By the command that CI runs, with the files that it needs."""
    commands = [one.rest for one in dockerfile.instructions(CPU_DOCKERFILE) if one.name == "RUN"]
    assert "ZEPHYR_ENGINE_BUILD=cpu PIP_NO_CACHE_DIR=1 python setup/environment.py engine" in commands
    assert "setup/environment.py dev engine" in (ROOT / ".ci" / "run").read_text()
    assert dockerfile.variables(CPU_DOCKERFILE)["ZEPHYR_ENGINE_PYTHON"].endswith(".venv-engine/bin/python")


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


def test_documented_secrets_open_the_database_to_the_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What deploy/README.md says to run makes a password and a URL that fit, in files that a container may read."""
    documentation = (ROOT / "deploy" / "README.md").read_text()
    commands = [line for line in documentation.splitlines() if "deploy/secrets" in line and line[0].isalpha()]
    (tmp_path / "deploy").mkdir()
    dockerfile.run("\n".join(line for line in commands if not line.startswith("`")), tmp_path)
    folder = tmp_path / "deploy" / "secrets"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()} == {
        "postgres_password": 0o644,
        "database_url": 0o644,
    }
    password = (folder / "postgres_password").read_text().strip()
    assert len(password) >= 32
    server = PostgresServer()
    try:
        (found,) = rows(server.url, "SELECT setting FROM pg_settings WHERE name = 'hba_file'")
        rows(server.url, f"CREATE ROLE zephyr LOGIN PASSWORD '{password}'")
        access = Path(found["setting"])
        access.write_text(f"local all zephyr scram-sha-256\n{access.read_text()}")
        reload(server.url)
        here = f"@/postgres?{urlsplit(server.url).query}"
        with pytest.raises(asyncpg.InvalidPasswordError):
            rows(f"postgresql://zephyr:wrong{here}", "SELECT 1")
        secret = folder / "database_url"
        assert secret.read_text().count("@postgres/zephyr\n") == 1
        secret.write_text(secret.read_text().replace("@postgres/zephyr", here))
        monkeypatch.setenv("DATABASE_URL_FILE", str(secret))
        assert asyncio.run(user_of()) == "zephyr"
    finally:
        server.close()


def test_gateway_answers_through_the_router_while_one_of_two_engines_is_away(
    router_home: Path, tmp_path: Path, database_url: str
) -> None:
    """The router of the image with its own arguments, the gateway with the settings of `replicas.env`."""
    port, figures = free_port(), free_port()
    log = tmp_path / "router.log"
    with ScriptedEngine() as one, ScriptedEngine() as other, log.open("wb") as output:
        program, *own = entrypoint(ROUTER_DOCKERFILE)
        arguments = [*own, "--worker-urls", one.url, other.url]  # as the compose file adds them
        arguments[arguments.index("--port") + 1] = str(port)
        command = [str(router_home / "bin" / program), *arguments, "--prometheus-port", str(figures)]
        router = subprocess.Popen(command, cwd=tmp_path, stdout=output, stderr=output)
        try:
            assert status(port, "/readiness", router, log) == 200
            settings = {"ENGINE_URL": f"http://127.0.0.1:{port}", "ZEPHYR_ENGINE_HEALTH_PATH": "/readiness"}
            with Gateway(tmp_path / "gateway.log", DATABASE_URL=database_url, **settings) as gateway:
                assert gateway.post("/v1/chat/completions", chat()).status == 200
                other.stop()
                limit = time.monotonic() + 15
                while status(port, "/health", router, log) == 200:
                    assert time.monotonic() < limit, "the router does not see that an engine is away"
                    time.sleep(0.1)
                one.seen.clear()
                time.sleep(1)  # in which the gateway looks several times
                assert gateway.get("/readyz").status == 200
                for stream in (False, True, False, True):
                    answer = gateway.post("/v1/chat/completions", chat(stream=stream))
                    assert answer.status == 200
                    assert b"error" not in answer.body
                assert len(one.seen) == 4
        finally:
            router.terminate()
            assert router.wait(timeout=20) == 0, log.read_text()


def reload(url: str) -> None:
    """Have the server read its access rules again, and wait until it has."""
    loaded = "SELECT pg_conf_load_time() AS at"
    (before,) = rows(url, loaded)
    rows(url, "SELECT pg_reload_conf()")
    limit = time.monotonic() + 5
    while rows(url, loaded)[0]["at"] == before["at"]:
        assert time.monotonic() < limit
        time.sleep(0.02)


async def user_of() -> str:
    """Who the gateway is to the database of its settings."""
    connection = await connect(Settings.read().log)
    try:
        name: str = await connection.fetchval("SELECT current_user")
    finally:
        await connection.close()
    return name


def installing(file: Path) -> list[str]:
    """The instructions that put the locked packages and ours into the environment."""
    found = [f"{one.name} {one.rest}" for one in dockerfile.first_stage(file)]
    return [text for text in found if text.startswith("COPY ") or "/bin/pip install " in text]


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
