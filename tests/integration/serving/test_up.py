"""`zephyr up`, as a user runs it: the command line, the embedded PostgreSQL and the real gateway. vLLM is played by fakes."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.readiness import ask
from tests.acceptance.gateway import free_port
from tests.fakes.engine import ScriptedEngine
from tests.integration.serving import fake_vllm
from tests.integration.serving.up import Up, running


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="zephyr-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def engine() -> Iterator[ScriptedEngine]:
    with ScriptedEngine() as engine:
        yield engine


@pytest.fixture
def fake_engine(home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Settings with which the engine is `fake_vllm.py`."""
    monkeypatch.setenv("FAKE_VLLM", str(home / "behaviour"))
    (home / "model").mkdir()
    (home / "model" / "config.json").write_text("{}")
    python = home / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {fake_vllm.__file__} "$@"\n')
    python.chmod(0o755)
    return {
        "ZEPHYR_MODEL": str(home / "model"),
        "ZEPHYR_ENGINE_PYTHON": str(python),
        "ZEPHYR_START_TRIES": "2",
    }


@pytest.fixture
def ups() -> Iterator[list[Up]]:
    """What a test started; whatever of it still runs at its end is killed."""
    started: list[Up] = []
    yield started
    for up in started:
        if up.process.poll() is None:
            up.process.kill()
        up.process.communicate()


def test_one_command_brings_up_everything_and_one_ctrl_c_ends_it(
    home: Path, engine: ScriptedEngine, ups: list[Up]
) -> None:
    """A question is answered and recorded; afterwards no process is left, within seconds."""
    up = Up(home, ENGINE_URL=engine.url)
    ups.append(up)
    up.until("/readyz", 200)
    question = {"model": "zephyr-7b-beta", "messages": [{"role": "user", "content": "hi"}]}
    assert ask(up.url, "/v1/chat/completions", question, timeout=10).status == 200
    family = up.family()
    assert {"postgres"} <= {process.name() for process in family}
    began = time.monotonic()
    up.process.send_signal(signal.SIGINT)
    output = up.wait()
    assert time.monotonic() - began < 10
    assert up.process.returncode == 0, output
    assert "Traceback" not in output
    assert not [process for process in family if running(process)]


def test_kill_9_of_the_host_leaves_nothing_running(home: Path, engine: ScriptedEngine, ups: list[Up]) -> None:
    """And the next start on the same home works."""
    up = Up(home, ENGINE_URL=engine.url)
    ups.append(up)
    up.until("/readyz", 200)
    family = up.family()
    up.process.kill()
    limit = time.monotonic() + 15
    while left := [process for process in family if running(process)]:
        assert time.monotonic() < limit, left
        time.sleep(0.1)
    again = Up(home, ENGINE_URL=engine.url)
    ups.append(again)
    again.until("/readyz", 200)
    again.process.terminate()
    again.wait()


def test_crashed_gateway_and_database_come_back(home: Path, engine: ScriptedEngine, ups: list[Up]) -> None:
    """Each is started again without the other."""
    up = Up(home, ENGINE_URL=engine.url)
    ups.append(up)
    up.until("/readyz", 200)
    for word in ("adapters", "postgres"):
        before = up.child(word)
        assert before is not None
        before.kill()
        limit = time.monotonic() + 30
        while running(before) or up.child(word) is None:
            assert time.monotonic() < limit
            time.sleep(0.05)
        up.until("/readyz", 200)
    up.process.terminate()
    output = up.wait()
    assert output.count("SIGKILL") == 2


def test_gateway_answers_while_the_engine_cannot_come_up(
    home: Path, fake_engine: dict[str, str], ups: list[Up]
) -> None:
    """A wrong engine is given up; the gateway stays and says that there is none."""
    (home / "behaviour").write_text("miscounts")
    up = Up(home, **fake_engine)
    ups.append(up)
    state = up.until("/readyz", 503)
    assert state["parts"]["engine"]["ready"] is False
    question = {"model": "zephyr-7b-beta", "messages": [{"role": "user", "content": "hi"}]}
    assert ask(up.url, "/v1/chat/completions", question, timeout=10).status == 503
    limit = time.monotonic() + 20
    while up.child("fake_vllm") or engine_starts(home) < 2:
        assert time.monotonic() < limit
        time.sleep(0.1)
    assert up.until("/healthz", 200) == {"status": "alive"}
    up.process.send_signal(signal.SIGTERM)
    output = up.wait()
    assert "counts 7 prompt tokens" in output
    assert "Given up after 2 tries" in output


def test_gateway_ends_its_streams_before_the_engine_goes(
    home: Path, fake_engine: dict[str, str], ups: list[Up]
) -> None:
    """It is stopped first and the database last, so that what it still answers is recorded."""
    (home / "behaviour").write_text("right")
    up = Up(home, **fake_engine)
    ups.append(up)
    limit = time.monotonic() + 30
    while not (home / "run" / "engine.sock").is_symlink():
        assert time.monotonic() < limit
        time.sleep(0.1)
    up.process.terminate()
    stopping = [line.split()[2] for line in up.wait().splitlines() if line.endswith("stopping")]
    assert stopping == ["gateway", "engine", "postgres"]


def test_second_ctrl_c_kills_what_does_not_end(
    home: Path, fake_engine: dict[str, str], ups: list[Up]
) -> None:
    """The first asks in order, with patience; the second is impatience, and leaves nothing either."""
    (home / "behaviour").write_text("stubborn")
    up = Up(home, **fake_engine)
    ups.append(up)
    limit = time.monotonic() + 30
    while not (home / "run" / "engine.sock").is_symlink():
        assert time.monotonic() < limit
        time.sleep(0.1)
    family = up.family()
    up.process.send_signal(signal.SIGINT)
    time.sleep(3)
    assert up.process.poll() is None
    up.process.send_signal(signal.SIGINT)
    assert "Traceback" not in up.wait(5)
    assert not [process for process in family if running(process)]


def test_taken_port_is_refused_before_anything_starts(home: Path, ups: list[Up]) -> None:
    """With the port, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        up = Up(home, ZEPHYR_PORT=str(taken.getsockname()[1]))
        ups.append(up)
        output = up.wait(10)
    assert up.process.returncode == 1
    assert f"port {up.port} on 127.0.0.1 cannot be used" in output
    assert "ZEPHYR_PORT" in output
    assert list(home.iterdir()) == []


def test_settings_that_cannot_be_are_found_before_anything_starts(home: Path, ups: list[Up]) -> None:
    """The gateway's and the host's together, each by its variable."""
    wrong = {"ZEPHYR_LOG_MODE": "lax", "ZEPHYR_MODEL": "/nowhere", "ZEPHYR_ENGINE_PYTHON": "/nowhere/python"}
    up = Up(home, **wrong)
    ups.append(up)
    output = up.wait(30)
    assert up.process.returncode == 1
    assert all(variable in output for variable in wrong), output
    assert list(home.iterdir()) == []


def test_second_start_on_the_same_home_is_refused(home: Path, engine: ScriptedEngine, ups: list[Up]) -> None:
    """Two servers on one database would destroy it."""
    first = Up(home, ENGINE_URL=engine.url)
    ups.append(first)
    first.until("/healthz", 200)
    second = Up(home, ENGINE_URL=engine.url)
    ups.append(second)
    assert f"process {first.process.pid} already runs the postgres of {home}" in second.wait(15)
    assert second.process.returncode == 1
    first.process.terminate()
    first.wait()


def test_other_machines_are_served_with_keys_or_at_ones_own_risk(
    home: Path, engine: ScriptedEngine, ups: list[Up]
) -> None:
    """Without a key it does not start, and says how to make one; `--insecure` goes on to the gateway."""
    outward = {"ENGINE_URL": engine.url, "ZEPHYR_HOST": "0.0.0.0", "ZEPHYR_START_TRIES": "1"}
    up = Up(home, **outward)
    ups.append(up)
    output = up.wait(40)
    assert up.process.returncode == 1
    assert "zephyr keys create" in output
    insecure = Up(home, "--insecure", **outward)
    ups.append(insecure)
    insecure.until("/readyz", 200)
    insecure.process.terminate()
    insecure.wait()


def test_bad_setting_refuses_to_start_and_is_named(home: Path, ups: list[Up]) -> None:
    """By its variable, without its value."""
    up = Up(home, ZEPHYR_START_TRIES="many-secret")
    ups.append(up)
    output = up.wait(10)
    assert up.process.returncode == 1
    assert "ZEPHYR_START_TRIES" in output
    assert "many-secret" not in output


def test_database_that_does_not_answer_is_told_without_its_password(
    home: Path, engine: ScriptedEngine, ups: list[Up]
) -> None:
    """The migrations wait for it; a stop meanwhile is as quick as ever."""
    url = f"postgresql://me:hunter2@127.0.0.1:{free_port()}/zephyr"
    up = Up(home, ENGINE_URL=engine.url, DATABASE_URL=url)
    ups.append(up)
    assert up.process.stdout is not None
    output = ""
    while "migrations" not in output:
        output += up.process.stdout.readline()
        assert up.process.poll() is None, output
    time.sleep(1)  # it tries to connect meanwhile
    up.process.terminate()
    output += up.wait(10)
    assert "hunter2" not in output


def test_parts_run_alone_and_say_where_they_are(home: Path) -> None:
    """What another program starts us for is the only thing on our standard output."""
    environment = os.environ | {"ZEPHYR_HOME": str(home)}
    process = subprocess.Popen(
        [sys.executable, "-m", "zephyr", "db"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    process.terminate()
    assert process.communicate(timeout=10)[0] == ""
    assert line == f"DATABASE_URL=postgresql://postgres@/zephyr?host={home}/postgres\n"
    assert process.returncode == 0


def test_doctor_finds_nothing_wrong_with_what_would_work(home: Path, engine: ScriptedEngine) -> None:
    """And says so to a program, too."""
    code, findings = doctor(home, ENGINE_URL=engine.url)
    assert code == 0
    assert findings["engine"]["verdict"] == "ok"
    assert {"gpu", "processor", "memory", "home", "port", "database"} <= set(findings)


@pytest.mark.parametrize(
    ("settings", "subject", "text"),
    [
        ({"ZEPHYR_MODEL": "/nowhere"}, "model", "no model in /nowhere"),
        ({"ZEPHYR_ENGINE_PYTHON": "/nowhere/bin/python"}, "engine", "no vLLM in /nowhere"),
        ({"ENGINE_URL": "http://127.0.0.1:9"}, "engine", "does not answer"),
        ({"DATABASE_URL": "postgresql://me:hunter2@127.0.0.1:9/x"}, "database", "does not answer"),
        ({"ZEPHYR_HOME": "/proc/zephyr"}, "home", "cannot be made"),
        ({"ZEPHYR_REPLICAS": "2", "ZEPHYR_ROUTER_PYTHON": "/nowhere"}, "router", "there is no /nowhere"),
    ],
)
def test_doctor_finds_what_would_fail(home: Path, settings: dict[str, str], subject: str, text: str) -> None:
    """Its exit status tells a script, its finding tells a person."""
    code, findings = doctor(home, **settings)
    assert code == 1
    assert findings[subject]["verdict"] == "fail"
    assert text in findings[subject]["text"]
    assert "hunter2" not in str(findings)


def doctor(home: Path, **settings: str) -> tuple[int, dict[str, dict[str, str]]]:
    own = {"ZEPHYR_HOME": str(home), "ZEPHYR_PORT": str(free_port())}
    command = [sys.executable, "-m", "zephyr", "doctor", "--json"]
    done = subprocess.run(
        command, env=os.environ | own | settings, capture_output=True, text=True, check=False
    )
    return done.returncode, {finding["subject"]: finding for finding in json.loads(done.stdout)}


def engine_starts(home: Path) -> int:
    """How often its engine has been started; the gateway answers before the first of them."""
    log = home / "logs" / "engine.log"
    return log.read_text().count("non-default args") if log.exists() else 0
