"""Nothing is told to be complete before it is in the log, whatever the endpoint does with the answer."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import pytest

from tests.acceptance.gateway import Gateway, read_until
from tests.fakes.engine import ScriptedEngine


@contextmanager
def nothing_can_be_written(url: str) -> Iterator[None]:
    """Hold a lock that lets the log be read and not be written."""
    loop = asyncio.new_event_loop()
    connection = loop.run_until_complete(asyncpg.connect(url))
    try:
        loop.run_until_complete(connection.execute("BEGIN; LOCK TABLE exchanges IN SHARE MODE"))
        yield
    finally:
        loop.run_until_complete(connection.close())
        loop.close()


@pytest.mark.parametrize("path", ["/zephyr/python", "/zephyr/raw", "/zephyr/structured-code-doc"])
@pytest.mark.parametrize("stream", [True, False])
def test_the_end_of_an_answer_waits_for_the_log(
    gateway: Gateway, engine: ScriptedEngine, log_url: str, path: str, stream: bool
) -> None:
    with nothing_can_be_written(log_url):
        one = gateway.send({"user_message": "x = 1", "stream": stream}, path)
        one.settimeout(0.7)
        got = b""
        with pytest.raises(TimeoutError):
            while piece := one.recv(65536):
                got += piece
        assert b'"response"' not in got
        assert b"[DONE]" not in got
        assert (b'"delta"' in got) == stream
    one.settimeout(10)
    with one:
        assert b'"response"' in read_until(one, b"[DONE]" if stream else b'"usage"')
