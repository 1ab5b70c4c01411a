"""Two real engines on this machine's processor, behind the real router: what becomes of prefixes, of answers when an engine
is killed, and of answers when the engines are restarted in turn."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from serving.readiness import ask
from serving.settings import CHECKOUT
from tests.databases import rows
from tests.integration.serving.up import Up
from tests.replicas import load

START_SECONDS = 600.0
POLICY = "consistent_hash"
SYSTEM = "You are a patient teacher who explains things to beginners. " * 20
BLOCK = 128  # tokens that vLLM keeps or forgets together on a processor


@dataclass(frozen=True, kw_only=True)
class Cache:
    """What an engine's own metrics say of its prefix cache, in tokens."""

    asked: float
    hit: float

    def since(self, before: "Cache") -> "Cache":
        return Cache(asked=self.asked - before.asked, hit=self.hit - before.hit)


@contextmanager
def two_engines() -> Iterator[Up]:
    """`zephyr up --replicas 2` with a home of its own, once both engines are there."""
    home = Path(tempfile.mkdtemp(prefix="zephyr-"))
    began = time.monotonic()
    python = python_with_policy(home)
    up = Up(home, "--replicas", "2", ZEPHYR_ENGINE_KV_CACHE_GIB="1", ZEPHYR_ROUTER_PYTHON=str(python))
    try:
        until_all_ready(up, START_SECONDS)
        print(f"two engines and the router ready after {time.monotonic() - began:.0f} s", flush=True)
        yield up
    finally:
        up.process.terminate()
        up.wait(60)
        shutil.rmtree(home)


def python_with_policy(home: Path) -> Path:
    """A Python for the router that gives it the policy in a file, with otherwise the same arguments."""
    (home / "policy").write_text(POLICY)
    python = home / "router-python"
    ours = CHECKOUT / ".venv-router" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {ours} $(echo "$@" | sed s/{POLICY}/$(cat {home}/policy)/)\n')
    python.chmod(0o755)
    return python


def follow(up: Up, policy: str) -> None:
    """Have the router follow another policy, and know nothing."""
    (up.home / "policy").write_text(policy)
    router = next(one for one in up.family() if "router" in one.name())
    router.kill()
    time.sleep(2)  # in which the gateway sees it
    until_all_ready(up, 60)


def until_all_ready(up: Up, seconds: float) -> float:
    """Wait until the gateway counts both engines; after how many seconds it did."""
    began = time.monotonic()
    while up.until("/readyz", 200, seconds)["parts"]["engine"]["detail"].get("replicas") != {
        "ready": 2,
        "all": 2,
    }:
        assert time.monotonic() - began < seconds, "the engines did not come"
        time.sleep(0.1)
    return time.monotonic() - began


def cache(up: Up, engine: int) -> Cache:
    """What an engine has been asked for and has found in its prefix cache."""
    page = ask(f"unix:{up.home}/run/engine-{engine}.sock", "/metrics").body.decode()

    def total(name: str) -> float:
        return sum(
            float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(name + "{")
        )

    return Cache(asked=total("vllm:prefix_cache_queries_total"), hit=total("vllm:prefix_cache_hits_total"))


def prefixes(up: Up, name: str, conversations: int, turns: int) -> None:
    """Conversations with the same system message, side by side: whether each turn finds the last one's prefix."""
    before = [cache(up, engine) for engine in range(2)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: converse(up, name, number, turns), range(conversations)))
    figures = [cache(up, engine).since(before[engine]) for engine in range(2)]
    for engine, one in enumerate(figures):
        print(
            f"  engine-{engine}: {one.asked:.0f} prompt tokens, {share(one.hit, one.asked)} of them in its cache"
        )
    hit, asked = sum(one.hit for one in figures), sum(one.asked for one in figures)
    found, all_turns = turns_that_found(up, name)
    print(
        f"  together {share(hit, asked)}; {found} of {all_turns} later turns found the prefix of the last turn"
    )


def share(part: float, whole: float) -> str:
    return f"{part / whole:.0%}" if whole else "none"


def converse(up: Up, name: str, number: int, turns: int) -> None:
    messages = [{"role": "system", "content": f"{name}: {SYSTEM}"}]
    for turn in range(turns):
        question = (
            f"{name}, conversation {number}, question {turn}: " + "please say more about that, slowly. " * 18
        )
        messages.append({"role": "user", "content": question})
        seen = load.ask(up.url, messages, stream=False, max_tokens=32)
        assert seen.ending == "whole", seen
        messages.append({"role": "assistant", "content": seen.text})


def turns_that_found(up: Up, name: str) -> tuple[int, int]:
    """By the log: of the turns that go on from another, how many had all whole blocks of its prompt in the cache."""
    found = rows(
        database(up),
        """
        SELECT exchange.cached_tokens AS cached, parent.prompt_tokens AS before
        FROM exchanges exchange JOIN exchanges parent ON parent.id = exchange.parent_id
        WHERE exchange.input::text LIKE '%' || $1 || ', conversation%'
        """,
        name,
    )
    return sum(row["cached"] > row["before"] - BLOCK for row in found), len(found)


def database(up: Up) -> str:
    return (up.home / "run" / "database-url").read_text().strip()


def kill(up: Up, count: int) -> bool:
    """Kill an engine while clients wait for answers and read them."""
    with load.clients(up.url, "kill", count, max_tokens=64) as asked:
        time.sleep(15)
        victim = up.child("engine-0")
        assert victim is not None
        victim.kill()
        print(f"  engine-0 killed after {sum(one.done() for one in asked)} answers")
        time.sleep(15)
        back = until_all_ready(up, START_SECONDS) + 15
        time.sleep(10)
    print(f"  back after {back:.0f} s; {len(asked)} asked: {load.endings(asked)}")
    endings = Counter(one.result().ending for one in asked)
    begun = [one.result() for one in asked if one.result().ending == "broken (engine_failed)"]
    held = set(endings) <= {"whole", "broken (engine_failed)"} and all(one.text for one in begun)
    return held and once_in_the_log(up, {one.result().question: one.result().ending for one in asked})


def restart(up: Up, count: int) -> bool:
    """Restart both engines in turn while clients ask."""
    began = time.monotonic()
    with load.clients(up.url, "restart", count, max_tokens=64) as asked:
        done = subprocess.run(
            [sys.executable, "-m", "zephyr", "restart", "engines"],
            env=os.environ | {"ZEPHYR_HOME": str(up.home)},
            capture_output=True,
            text=True,
            check=False,
        )
    print("  " + done.stdout.strip().replace("\n", "\n  "))
    print(f"  {time.monotonic() - began:.0f} s; {len(asked)} asked: {load.endings(asked)}")
    endings = {one.result().ending for one in asked}
    return (
        done.returncode == 0
        and endings == {"whole"}
        and once_in_the_log(up, {one.result().question: "whole" for one in asked})
    )


def once_in_the_log(up: Up, asked: dict[str, str]) -> bool:
    """Whether each question is in the log once, and as what it became."""
    found = rows(database(up), "SELECT input::text, outcome FROM exchanges")
    logged: dict[str, list[str]] = {}
    for row in found:
        logged.setdefault(json.loads(row["input"])[-1]["content"], []).append(row["outcome"])
    as_asked = all(
        len(logged.get(question, [])) == 1 and (logged[question] == ["failed"]) == (ending != "whole")
        for question, ending in asked.items()
    )
    print(f"  in the log: {'each as what its client saw' if as_asked else 'NOT what clients saw'}")
    return as_asked


def trial(conversations: int, turns: int, count: int) -> bool:
    """Each of the router's policies that goes by text or session, then a kill and a restart in turn with ours."""
    with two_engines() as up:
        for policy in ("round_robin", "cache_aware", "sticky_least_loaded", POLICY):
            follow(up, policy)
            print(f"{policy}: {conversations} conversations of {turns} turns", flush=True)
            prefixes(up, policy, conversations, turns)
        print(f"an engine is killed: {count} clients", flush=True)
        killed = kill(up, count)
        print(f"restart in turn: {count} clients", flush=True)
        return restart(up, count) and killed
