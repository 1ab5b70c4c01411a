"""The Dockerfiles' own commands, run here in clean environments, since no image is built by the tests."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import dockerfile
from tests.acceptance.gateway import free_port

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "gateway.Dockerfile"
HOME_IN_IMAGE = "/opt/zephyr"


@pytest.fixture(scope="module")
def gateway_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the build stage of the gateway's Dockerfile leaves in the image."""
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
        "DATABASE_URL": f"postgresql://127.0.0.1:{free_port()}/zephyr",
        "ENGINE_URL": f"unix:{tmp_path}/engine.sock",
    }
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            entrypoint(gateway_home), cwd=tmp_path, env=environment, stdout=output, stderr=output
        )
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


def entrypoint(home: Path) -> list[str]:
    """The gateway's ENTRYPOINT, with the interpreter that it finds on the image's PATH."""
    given = [one.rest for one in dockerfile.instructions(DOCKERFILE) if one.name == "ENTRYPOINT"]
    program, *arguments = json.loads(given[-1])
    return [str(home / "bin" / program), *arguments]


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
