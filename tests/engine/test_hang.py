"""The real vLLM with its core frozen, while its `/health` goes on to say 200."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.readiness import ask
from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import Gateway, chat, read_until
from tests.engine.engines import RealEngine

pytestmark = pytest.mark.engine
HANG_SECONDS = 4.0


@pytest.fixture
def watchful(
    zephyr_shaped_engine: RealEngine, zephyr_shaped_log: Exchanges, tmp_path: Path
) -> Iterator[Gateway]:
    """A gateway with less patience than most."""
    with Gateway(
        tmp_path / "gateway.log",
        ENGINE_URL=zephyr_shaped_engine.url,
        DATABASE_URL=zephyr_shaped_log.url,
        ZEPHYR_ENGINE_QUIET_SECONDS="1",
        ZEPHYR_ENGINE_HANG_SECONDS=str(HANG_SECONDS),
        ZEPHYR_ENGINE_IDLE_TIMEOUT="6",
    ) as gateway:
        yield gateway


def test_frozen_core_is_found_and_taken_back(
    zephyr_shaped_engine: RealEngine, watchful: Gateway, zephyr_shaped_log: Exchanges
) -> None:
    """In the middle of a stream, which ends with an error; nothing of it has to be restarted."""
    core = zephyr_shaped_engine.core()
    body = chat("hello", stream=True, max_tokens=400, temperature=0)
    with watchful.send(body) as stream:
        head = read_until(stream, b'"content":"')
        core.send_signal(signal.SIGSTOP)
        frozen = time.monotonic()
        try:
            watchful.wait_until_unready(HANG_SECONDS + 5)
            assert ask(zephyr_shaped_engine.url, "/health").status == 200
            answer = watchful.post("/v1/chat/completions", chat())
            assert (answer.status, answer.error["code"]) == (503, "engine_unavailable")
            assert b"[DONE]" not in read_until(stream, b"engine_timeout")
            assert time.monotonic() - frozen < 10
        finally:
            core.send_signal(signal.SIGCONT)
        went_on = time.monotonic()
    watchful.wait_until_ready()
    assert time.monotonic() - went_on < 5
    id = head.partition(b"x-request-id: ")[2].partition(b"\r\n")[0].decode()
    assert zephyr_shaped_log.get(id)["outcome"] == "failed"
    assert watchful.post("/v1/chat/completions", chat(max_tokens=2)).status == 200
    limit = time.monotonic() + 5
    while zephyr_shaped_engine.metric("vllm:num_requests_running"):
        assert time.monotonic() < limit
        time.sleep(0.1)
