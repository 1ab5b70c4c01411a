"""`zephyr top` beside a real gateway: what it shows under load, that it names no key, and that it outlives the gateway."""

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from rich.console import Console

from adapters.observability.second_listener import NoGateway, SecondListener
from adapters.settings import ServerSettings
from adapters.top.watching import show_once
from tests.acceptance.conftest import NewGateway
from tests.acceptance.gateway import ROOT, Gateway, chat
from tests.acceptance.keys import Holder
from tests.acceptance.limited import NewKey
from tests.fakes.engine import Script, ScriptedEngine

HANGS = Script(stop_after=3, ending="hang")


TOP = [sys.executable, "-m", "adapters", "top"]


def environment(gateway: Gateway) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "ZEPHYR_ADMIN_PORT": str(gateway.admin_port), "COLUMNS": "80"}


def once(gateway: Gateway) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TOP, "--once"],
        cwd=ROOT,
        env=environment(gateway),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.fixture(scope="module")
def busy(new_gateway: NewGateway) -> Iterator[Gateway]:
    """A gateway that needs keys, with two places at the engine."""
    settings = {"ZEPHYR_REQUIRE_KEYS": "true", "ZEPHYR_ENGINE_CONCURRENCY": "2", "ZEPHYR_ENGINE_SPARE": "0"}
    with new_gateway(**settings) as gateway:
        yield gateway


def test_one_frame_shows_who_has_what(busy: Gateway, engine: ScriptedEngine, new_key: NewKey) -> None:
    """Places, the queue, each tenant's part in it, the engine, the log; and nothing of a key or a prompt."""
    holders = [Holder(gateway=busy, id="", key=new_key(name)) for name in ("harriet", "ingrid")]
    harriet, ingrid = holders
    assert ingrid.post("/v1/chat/completions", chat("a secret word")).status == 200
    engine.script = HANGS
    with ExitStack() as stack:
        for _ in range(2):
            answer = stack.enter_context(
                busy.opened(
                    "POST", "/v1/chat/completions", chat("a secret word", stream=True), harriet.headers
                )
            )
            answer.readline()
        for one in (harriet, ingrid):
            waiting = stack.enter_context(busy.connect())
            body = b'{"model":"zephyr-7b-beta","stream":true,"messages":[{"role":"user","content":"x"}]}'
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nx-api-key: {one.key}\r\n"
            head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            waiting.sendall(head.encode() + body)
        wait_until_waiting(busy, 2)
        done = once(busy)
        told = busy.admin("GET", "/queue/status")
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line}
    assert "2 waiting   2 of 2 places taken (+0 spare)   4 of 1,024 open" in lines["queue"]
    assert "ready   2 running" in lines["engine"]
    assert " committed" in lines["log"]
    assert lines["harriet"].split()[:3] == ["harriet", "1", "2"]
    assert lines["ingrid"].split()[:3] == ["ingrid", "1", "0"]
    assert lines["ingrid"].split()[4] == "4"  # of the answer that it has had
    assert max(map(len, done.stdout.splitlines())) <= 80
    for one in holders:
        for secret in (one.key, one.key.removeprefix("sk-zephyr-")[:8], "secret", "\x1b"):
            assert secret not in done.stdout
            assert secret not in told.body.decode()


def wait_until_waiting(gateway: Gateway, count: int) -> None:
    limit = time.monotonic() + 5
    while gateway.admin("GET", "/queue/status").json["waiting"] != count:
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_it_goes_on_while_the_gateway_is_away(new_gateway: NewGateway) -> None:
    """In a terminal it says so, and shows the next gateway that comes."""
    with new_gateway() as gateway, watched(gateway) as (screen, watching):
        read_until(screen, b"queue")
        gateway.kill()
        read_until(screen, b"No gateway answers on 127.0.0.1:%d" % gateway.admin_port)
        gateway.start()
        read_until(screen, b"queue")
        ended(screen, watching, signal.SIGINT)


def test_stop_gives_the_terminal_back(gateway: Gateway) -> None:
    """Also where somebody else than its user ends it."""
    with watched(gateway) as (screen, watching):
        read_until(screen, b"queue")
        ended(screen, watching, signal.SIGTERM)


def ended(screen: int, watching: subprocess.Popen[bytes], how: signal.Signals) -> None:
    watching.send_signal(how)
    read_until(screen, b"\x1b[?1049l")
    assert watching.wait(10) == 0


@contextmanager
def watched(gateway: Gateway) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """`zephyr top` in a terminal of 80 x 24: what it writes there can be read."""
    screen, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    settings = environment(gateway) | {"TERM": "xterm"}
    watching = subprocess.Popen(TOP, cwd=ROOT, env=settings, stdin=terminal, stdout=terminal)
    try:
        yield screen, watching
    finally:
        watching.kill()
        watching.wait()
        os.close(terminal)
        os.close(screen)


def read_until(screen: int, text: bytes) -> None:
    seen, limit = b"", time.monotonic() + 60
    while text not in seen:
        assert time.monotonic() < limit, f"it did not show {text!r}: {seen[-2000:]!r}"
        if select.select([screen], [], [], 1.0)[0]:
            seen += os.read(screen, 65536)


def test_one_frame_of_nothing_is_an_error(new_gateway: NewGateway) -> None:
    """For scripts: it ends with 1 and says where it asked."""
    gateway = new_gateway()
    done = once(gateway)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"No gateway answers on 127.0.0.1:{gateway.admin_port}" in done.stderr


def test_another_server_is_not_taken_for_a_gateway(engine: ScriptedEngine) -> None:
    """As an older gateway is not: it says what is missing."""
    port = int(engine.url.rpartition(":")[2])
    server = ServerSettings.model_validate({"host": "127.0.0.1", "port": port})
    with pytest.raises(NoGateway, match=r"tells nothing at /queue/status \(HTTP 404\)"):
        show_once(SecondListener(server), Console())
