"""One tenant floods, another asks one thing at a time: how long the other waits, with a real vLLM on this machine.

    python -m benchmarks.fairness [--rounds 3] [--seconds 60] [--svg docs/fairness.svg] [--json figures.json]

The same engine is asked in four ways: with the visitor alone; with the flood and the visitor straight at vLLM, which
serves first come, first served; through the gateway with one key for both, which is the same there; and with a key for
each, so that the counters decide. Needs both environments, and a machine with nothing else to do: about twelve minutes.
"""

import argparse
import asyncio
import http.client
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.database import embedded_database
from benchmarks.picture import bars
from benchmarks.processes import Process, free_port, stop_in_order
from benchmarks.report import table
from serving.engine import hardware, profile
from serving.engine.profile import Places
from serving.engine.service import Engine
from serving.readiness import ask, is_well
from serving.settings import Settings
from serving.supervisor import Supervisor

_ROOT = Path(__file__).parents[1]
_FLOOD = 64
_FLOOD_TOKENS, _VISIT_TOKENS = 64, 16
_PROMPT_WORDS = 200
_WARM_UP_SECONDS = 15.0
_PATIENCE_SECONDS = 600.0
_WORDS = [
    "the",
    "keeper",
    "of",
    "a",
    "light",
    "saw",
    "ships",
    "and",
    "storms",
    "come",
    "over",
    "water",
    "while",
    "birds",
    "slept",
    "on",
    "cold",
    "stone",
]
ALONE, ENGINE, ONE_KEY, TWO_KEYS = (
    "the visitor alone, through the gateway",
    "with the flood, straight at vLLM",
    "with the flood, through the gateway, one key",
    "with the flood, through the gateway, a key each",
)


@dataclass
class Figures:
    """What one way gave in one round."""

    first_seconds: list[float] = field(default_factory=list)
    """Of each visit: from sending it to the first event of its stream."""
    answered_a_second: float = 0.0
    """Tokens of everybody's answers together, as the engine counts."""
    tokens_a_second: float = 0.0
    """The same with those of the prompts: what the engine got done. A visitor who is served has it read more of them."""


Rounds = Mapping[str, Sequence[Figures]]


@dataclass(frozen=True)
class Target:
    """Somebody to ask."""

    connect: Callable[[], http.client.HTTPConnection]
    model: str
    key: str = ""

    def stream(self, question: str, tokens: int, stop: threading.Event) -> float:
        """Ask, read the whole stream unless stopped, and return the seconds to its first event."""
        body = {"messages": [{"role": "user", "content": question}], "max_tokens": tokens, "stream": True}
        headers = {"content-type": "application/json", "authorization": f"Bearer {self.key}"}
        connection = self.connect()
        try:
            began = time.monotonic()
            text = json.dumps(body | {"model": self.model, "temperature": 1.0})
            connection.request("POST", "/v1/chat/completions", text, headers)
            response, first = connection.getresponse(), 0.0
            if response.status != 200:
                raise RuntimeError(f"answered with {response.status}: {response.read()!r}")
            for line in response:
                if line.startswith(b'data: {"error"'):
                    raise RuntimeError(line.decode())
                first = first or (time.monotonic() - began if line.startswith(b"data:") else 0.0)
                if stop.is_set():
                    break
            return first
        finally:
            connection.close()


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("engine", timeout=_PATIENCE_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@contextmanager
def flood(target: Target) -> Iterator[None]:
    """So many requests open at any time, each with an answer of some length."""
    stop = threading.Event()
    failures: list[Exception] = []

    def ask_on(number: int) -> None:
        chance = random.Random(number)
        try:
            while not stop.is_set():
                target.stream(f"Write a long story about ship {chance.random()}.", _FLOOD_TOKENS, stop)
        except Exception as error:  # noqa: BLE001  # it belongs to the thread that measures
            failures.append(error)

    threads = [threading.Thread(target=ask_on, args=(number,)) for number in range(_FLOOD)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]


def visit(target: Target, seconds: float, engine: str) -> Figures:
    """Ask one thing after the other for so long, each with a prompt of its own that no cache knows."""
    figures, chance = Figures(), random.Random()
    before, began = _tokens(engine), time.monotonic()
    while time.monotonic() - began < seconds:
        words = " ".join(chance.choices(_WORDS, k=_PROMPT_WORDS))
        figures.first_seconds.append(target.stream(f"Sum this up: {words}", _VISIT_TOKENS, threading.Event()))
    seconds = time.monotonic() - began
    prompts, answers = (now - then for now, then in zip(_tokens(engine), before, strict=True))
    figures.answered_a_second = answers / seconds
    figures.tokens_a_second = (prompts + answers) / seconds
    return figures


def _tokens(engine: str) -> list[float]:
    """Of prompts and of answers, since the engine's start."""
    lines = ask(engine, "/metrics", timeout=_PATIENCE_SECONDS).body.decode().splitlines()
    names = ("vllm:prompt_tokens_total{", "vllm:generation_tokens_total{")
    return [sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)) for name in names]


def measure(
    ways: Mapping[str, tuple[Target, Target | None]], rounds: int, seconds: float, engine: str
) -> Rounds:
    """Every way in every round, in an order that alternates."""
    figures: dict[str, list[Figures]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in list(ways) if number % 2 == 0 else reversed(list(ways)):
            visitor, flooding = ways[name]
            if flooding is None:
                figures[name].append(visit(visitor, seconds / 3, engine))
            else:
                with flood(flooding):
                    time.sleep(_WARM_UP_SECONDS)
                    figures[name].append(visit(visitor, seconds, engine))
            print(f"round {number + 1}, {name}: {_line(figures[name][-1])}", file=sys.stderr, flush=True)
            _wait_until_idle(engine)
    return figures


def _wait_until_idle(engine: str) -> None:
    """What was broken off is still being ended."""
    while "num_requests_running" in (
        busy := ask(engine, "/metrics", timeout=_PATIENCE_SECONDS).body.decode()
    ):
        running = [line for line in busy.splitlines() if line.startswith("vllm:num_requests_running{")]
        if all(float(line.rpartition(" ")[2]) == 0 for line in running):
            return
        time.sleep(0.2)


def _line(figures: Figures) -> str:
    return (
        f"first event after {median(figures.first_seconds):.2f} s ({len(figures.first_seconds)} visits), "
        f"{figures.answered_a_second:.1f} tokens/s of answers, {figures.tokens_a_second:.1f} with prompts"
    )


@asynccontextmanager
async def running_engine(home: Path) -> AsyncIterator[tuple[str, Places]]:
    """A checked vLLM with the model for this machine, and how many generations it runs at once."""
    settings = Settings(home=home)  # type: ignore[call-arg]  # the rest has defaults
    settings.run.mkdir(exist_ok=True)
    async with Supervisor(settings, lambda *_: None) as supervisor:
        engine = Engine(settings, supervisor.run_once, lambda *_: None)
        supervisor.start(engine)
        await supervisor.until_ready("engine")
        yield engine.url, profile.places(hardware.look(), settings)


@contextmanager
def running_gateway(home: Path, engine: str, database: str, places: Places) -> Iterator[int]:
    """A gateway that needs keys; its port."""
    port = free_port()
    environment = {
        "PYTHONPATH": str(_ROOT),
        "ZEPHYR_HOME": str(home),
        "ZEPHYR_PORT": str(port),
        "ZEPHYR_ADMIN_PORT": "0",
        "ZEPHYR_REQUIRE_KEYS": "true",
        **places.environment,
        "ENGINE_URL": engine,
        "DATABASE_URL": database,
    }
    with Process(
        [sys.executable, "-m", "adapters"], log=home / "gateway.log", environment=environment
    ) as gateway:
        while not is_well(f"http://127.0.0.1:{port}", "/readyz"):
            if gateway.ended:
                raise RuntimeError(f"it did not start:\n{gateway.last_words}")
            time.sleep(0.1)
        yield port


def key_of(tenant: str, database: str) -> str:
    """A new key."""
    command = [sys.executable, "-m", "adapters", "keys", "create", tenant, "--json"]
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": database}
    done = subprocess.run(command, cwd=_ROOT, env=environment, check=True, capture_output=True)
    return str(json.loads(done.stdout)["key"])


async def compare(rounds: int, seconds: float, home: Path) -> Rounds:
    """Start everything, and measure."""
    (home / "database").mkdir()
    async with running_engine(home) as (engine, places):
        with (
            embedded_database(home / "database") as database,
            running_gateway(home, engine, database.url, places) as port,
        ):
            model = ask(engine, "/v1/models", timeout=_PATIENCE_SECONDS).json()["data"][0]["id"]
            straight = Target(lambda: UnixConnection(engine.removeprefix("unix:")), model)

            def through(tenant: str) -> Target:
                def connect() -> http.client.HTTPConnection:
                    return http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_SECONDS)

                return Target(connect, model, key_of(tenant, database.url))

            crowd, visitor = through("crowd"), through("visitor")
            ways = {
                ALONE: (visitor, None),
                ENGINE: (straight, straight),
                ONE_KEY: (crowd, crowd),
                TWO_KEYS: (visitor, crowd),
            }
            return await asyncio.to_thread(measure, ways, rounds, seconds, engine)


def first_seconds(figures: Sequence[Figures]) -> float:
    """The median over all visits of all rounds."""
    return median(seconds for one in figures for seconds in one.first_seconds)


def tokens_a_second(figures: Sequence[Figures]) -> float:
    """Of prompts and answers; the median over the rounds."""
    return median(one.tokens_a_second for one in figures)


def tables(rounds: Rounds) -> str:
    """Medians, ratios and goals, in Markdown."""
    alone, straight = first_seconds(rounds[ALONE]), tokens_a_second(rounds[ENGINE])
    head = [
        "",
        "first event after, s",
        "to alone",
        "slowest, s",
        "visits",
        "tokens/s of answers",
        "tokens/s of prompts and answers",
        "to vLLM's own",
    ]
    rows = [
        [
            name,
            f"{first_seconds(figures):.2f}",
            f"{first_seconds(figures) / alone:.1f}x",
            f"{max(seconds for one in figures for seconds in one.first_seconds):.2f}",
            str(sum(len(one.first_seconds) for one in figures)),
            f"{median(one.answered_a_second for one in figures):.1f}",
            f"{tokens_a_second(figures):.1f}",
            "" if name == ALONE else f"{tokens_a_second(figures) / straight:.2f}x",
        ]
        for name, figures in rounds.items()
    ]
    slower, share = first_seconds(rounds[TWO_KEYS]) / alone, tokens_a_second(rounds[TWO_KEYS]) / straight
    goals = [
        ["the visitor's first event, to alone", f"{slower:.2f}x", "at most 2x", _reached(slower <= 2)],
        [
            "tokens of prompts and answers, to vLLM's own",
            f"{share:.2f}x",
            "at least 0.95x",
            _reached(share >= 0.95),
        ],
    ]
    return table(head, rows) + "\n\n" + table(["goal", "measured", "wanted", ""], goals)


def _reached(reached: bool) -> str:
    return "reached" if reached else "**not reached**"


def picture(rounds: Rounds) -> str:
    """The visitor's wait in each way, as SVG."""
    return bars(
        "Seconds until the first event of somebody who asks one thing at a time",
        {name: first_seconds(figures) for name, figures in rounds.items()},
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each way is measured")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each is, at least")
    parser.add_argument("--svg", type=Path, help="write the picture there")
    parser.add_argument("--json", type=Path, help="write every round's figures there")
    arguments = parser.parse_args()
    stop_in_order()
    with tempfile.TemporaryDirectory(prefix="zephyr-") as home:
        Path(home).chmod(0o711)  # PostgreSQL runs as a user of its own
        rounds = asyncio.run(compare(arguments.rounds, arguments.seconds, Path(home)))
    print(tables(rounds))
    if arguments.svg:
        arguments.svg.write_text(picture(rounds))
    if arguments.json:
        arguments.json.write_text(
            json.dumps({name: [asdict(one) for one in ones] for name, ones in rounds.items()})
        )


if __name__ == "__main__":
    main()
