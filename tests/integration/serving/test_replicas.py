"""`zephyr up --replicas 2`: the real router and gateway in front of two engines, which are played by scripted ones."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from serving.readiness import Answer, ask
from tests.acceptance.gateway import seen_text
from tests.databases import other_database, rows
from tests.integration.serving import scripted_vllm
from tests.integration.serving.up import Up

CHAT = "/v1/chat/completions"
MANY = 16  # sessions, of which chance sends all to one engine once in thirty thousand runs


@pytest.fixture(scope="module")
def log_of_its_own(postgres_url: str) -> str:
    """A database that is empty before `zephyr up` migrates it."""
    rows(postgres_url, "CREATE DATABASE replicas")
    return other_database(postgres_url, "replicas")


@pytest.fixture(scope="module")
def up(router_python: Path, log_of_its_own: str) -> Iterator[Up]:
    """One that runs two engines."""
    home = Path(tempfile.mkdtemp(prefix="zephyr-"))
    (home / "model").mkdir()
    (home / "model" / "config.json").write_text("{}")
    python = home / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {scripted_vllm.__file__} "$@"\n')
    python.chmod(0o755)
    settings = {
        "DATABASE_URL": log_of_its_own,
        "ZEPHYR_MODEL": str(home / "model"),
        "ZEPHYR_ENGINE_PYTHON": str(python),
        "ZEPHYR_ROUTER_PYTHON": str(router_python),
        "ZEPHYR_ENGINE_PROBE_SECONDS": "0.1",
    }
    one = Up(home, "--replicas", "2", **settings)
    try:
        until_all_ready(one)
        yield one
    finally:
        one.process.terminate()
        output = one.wait()
        shutil.rmtree(home)
    assert "Traceback" not in output


def until_all_ready(up: Up) -> None:
    """Wait until the gateway knows that both engines are there."""
    limit = time.monotonic() + 30
    while up.until("/readyz", 200)["parts"]["engine"]["detail"].get("replicas") != {"ready": 2, "all": 2}:
        assert time.monotonic() < limit
        time.sleep(0.05)


def engine_of(answer: Answer) -> str:
    """Which engine has made an answer, and in which of its lives."""
    said: str = answer.json()["choices"][0]["message"]["content"]
    return said.partition(".sock")[0]


def say(up: Up, text: str, *turns: tuple[str, str], stream: bool = False) -> Answer:
    """Ask, after other turns."""
    history = [
        {"role": role, "content": said}
        for turn in turns
        for role, said in zip(("user", "assistant"), turn, strict=True)
    ]
    body = {
        "model": "zephyr-7b-beta",
        "messages": [*history, {"role": "user", "content": text}],
        "stream": stream,
    }
    return ask(up.url, CHAT, body, timeout=30)


def command(up: Up, *words: str) -> subprocess.CompletedProcess[str]:
    """Another `zephyr` with the same home."""
    environment = os.environ | {"ZEPHYR_HOME": str(up.home)}
    return subprocess.run(
        [sys.executable, "-m", "zephyr", *words], env=environment, capture_output=True, text=True, timeout=60
    )


def load(up: Up, pool: ThreadPoolExecutor, count: int) -> list[tuple[str, Future[Answer]]]:
    """Slow questions, half of them streamed, each asked only once."""
    names = [f"slow {time.monotonic()} {number}" for number in range(count)]
    return [(name, pool.submit(say, up, name, stream=bool(number % 2))) for number, name in enumerate(names)]


def logged(url: str) -> Counter[str]:
    """How often each question is in the log."""
    found = rows(url, "SELECT input::text FROM exchanges")
    return Counter(json.loads(row["input"])[-1]["content"] for row in found)


def test_turns_of_a_conversation_stay_at_one_engine_and_conversations_spread(up: Up) -> None:
    """Where its prefix is."""
    engines: list[str] = []
    for number in range(MANY):
        first = say(up, f"hello {number}")
        said = first.json()["choices"][0]["message"]["content"]
        second = say(up, "and then?", (f"hello {number}", said))
        assert engine_of(first) == engine_of(second)
        engines.append(engine_of(first))
    assert {name.partition(".")[0] for name in engines} == {"engine-0", "engine-1"}


def test_the_first_request_after_a_kill_finds_the_other_engine(up: Up) -> None:
    """The router has not missed the engine yet: it must try often enough to come to another one."""
    text = next(text for text in map(str, range(100)) if engine_of(say(up, text)) == "engine-0.1")
    victim = up.child("engine-0")
    assert victim is not None
    victim.kill()
    victim.wait(5)
    answer = say(up, text)
    assert answer.status == 200
    assert engine_of(answer) == "engine-1.1"
    until_they_answer(up, {"engine-0.2", "engine-1.1"})


def until_they_answer(up: Up, engines: set[str]) -> None:
    """Wait until some of many conversations meet each engine, which is named with the number of its life."""
    limit = time.monotonic() + 30
    while {engine_of(say(up, f"who are you {number}")) for number in range(MANY)} != engines:
        assert time.monotonic() < limit, f"{engines} do not answer"
        time.sleep(0.1)


def test_killed_engine_costs_no_answer_that_had_not_begun_and_comes_back(up: Up, log_of_its_own: str) -> None:
    """Those that had begun end with an error; each is in the log once."""
    with ThreadPoolExecutor(24) as pool:
        asked = load(up, pool, 24)
        time.sleep(0.3)  # in which all streams have begun
        victim = up.child("engine-0")
        assert victim is not None
        victim.kill()
        asked += load(up, pool, 8)
        answers = [(name, future.result()) for name, future in asked]
    broken = [answer for _, answer in answers if is_broken(answer)]
    assert broken, "nothing was under way at the engine that was killed"
    for answer in broken:
        text, errors = seen_text(answer.body)
        assert text.startswith("engine-0"), "an answer broke that had not begun there"
        assert [error["code"] for error in errors] == ["engine_failed"]
    whole = [answer for _, answer in answers if not is_broken(answer)]
    assert all(answer.status == 200 for answer in whole)
    assert len(whole) >= 20
    until_all_ready(up)
    counted = logged(log_of_its_own)
    assert {counted[name] for name, _ in answers} == {1}
    until_they_answer(up, {"engine-0.3", "engine-1.1"})


def is_broken(answer: Answer) -> bool:
    return b'data: {"error"' in answer.body


def test_each_part_is_shown_as_it_is(up: Up) -> None:
    """By a command, from outside."""
    done = command(up, "status", "--json")
    assert done.returncode == 0, done.stdout
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["pid"] == up.process.pid
    kinds = {name: part["kind"] for name, part in found["parts"].items()}
    figures = ask(up.url, "/zephyr/gpu-stats").json()["engine"]
    assert figures["running"] == 0, "the figures of both engines are not known"
    wanted = ("gateway", "router", "engine-0", "engine-1")
    assert kinds | dict.fromkeys(wanted, "ready") == kinds


def test_engines_are_restarted_in_turn_without_losing_anything(up: Up, log_of_its_own: str) -> None:
    """Both have another life after it, and every answer is whole."""
    before = {name: started(up, name) for name in ("engine-0", "engine-1")}
    with ThreadPoolExecutor(17) as pool:
        restarting = pool.submit(command, up, "restart", "engines")
        asked: list[tuple[str, Future[Answer]]] = []
        while not restarting.done():
            asked += load(up, pool, 3)
            time.sleep(0.5)
        answers = [(name, future.result()) for name, future in asked]
    assert restarting.result().returncode == 0, restarting.result()
    assert "all 2 restarted" in restarting.result().stdout
    assert len(answers) >= 15
    for _, answer in answers:
        assert answer.status == 200
        assert not is_broken(answer)
    assert {name: started(up, name) for name in before} == {name: n + 1 for name, n in before.items()}
    counted = logged(log_of_its_own)
    assert {counted[name] for name, _ in answers} == {1}
    until_all_ready(up)


def started(up: Up, name: str) -> int:
    """How often an engine has been started."""
    return (up.home / "logs" / f"{name}.log").read_text().count("non-default args")
