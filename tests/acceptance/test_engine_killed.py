"""An engine that dies at any byte of an answer: the client is told, and the log has exactly what the client saw."""

import itertools
import random

import pytest

from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import Gateway, chat, seen_text
from tests.fakes import answers
from tests.fakes.engine import Script, ScriptedEngine

DEATHS = 100
WORDS = tuple(f"word{number} " for number in range(20))


def wire() -> bytes:
    """A whole streamed answer as it stands on the wire."""
    asked = answers.Asked(body=chat(stream=True), chat=True, request_id="x")
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    events = answers.events(asked, WORDS, "stop", (), 0)
    return head + b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events) + b"0\r\n\r\n"


@pytest.mark.parametrize("ending", ["reset", "close"])
def test_death_at_any_byte_is_told_and_recorded(
    gateway: Gateway, engine: ScriptedEngine, exchanges: Exchanges, ending: str
) -> None:
    """A hundred times at random places, in packets torn at random places."""
    chance, whole = random.Random(ending), wire()
    begun = 0
    for number in range(DEATHS // 2):
        at = chance.randrange(len(whole) - len(b"data: [DONE]\n\n\r\n0\r\n\r\n"))
        cuts = sorted(chance.randrange(1, at + 1) for _ in range(3)) if at else []
        engine.script = Script(raw=whole[:at], cuts=cuts, pause=0.001, ending=ending)  # type: ignore[arg-type]
        answer = gateway.post("/v1/chat/completions", chat(f"death {number}", stream=True))
        exchange = exchanges.get(answer.headers["x-request-id"])
        assert exchange["outcome"] == "failed"
        assert b"[DONE]" not in answer.body
        if answer.status == 200:
            begun += 1
            text, errors = seen_text(answer.body)
            assert [error["type"] for error in errors] == ["server_error"], answer.body[-500:]
            assert answer.body.rstrip().rpartition(b"\n\n")[2].startswith(b'data: {"error"')
            assert exchange["error"]["code"] == errors[0]["code"] == "engine_failed"
        else:
            text = ""
            assert (answer.status, answer.error["code"]) == (503, "engine_failed")
            assert int(answer.headers["retry-after"]) >= 1
        assert (exchange["answer"][0]["content"] if exchange["answer"] else "") == text
        assert exchange["finish_reason"] is None or text == "".join(WORDS)
    assert begun > DEATHS // 4
    assert [seen.outcome for seen in engine.seen] == ["broken"] * (DEATHS // 2)
    assert gateway.process.poll() is None


def test_death_with_many_streams_open_is_told_to_each(
    gateway: Gateway, engine: ScriptedEngine, exchanges: Exchanges
) -> None:
    """All connections break at one moment, as they do when a process is killed."""
    engine.script = Script(pieces=tuple(itertools.repeat("word ", 500)), pause=0.01)
    sockets = [gateway.send(chat(f"stream {number}", stream=True)) for number in range(20)]
    engine.wait_for(20)
    for one in sockets:
        assert one.recv(10)
    engine.stop()
    try:
        for one in sockets:
            got = b""
            while b"engine_failed" not in got:
                piece = one.recv(65536)
                assert piece, got[-300:]
                got += piece
            assert b"[DONE]" not in got
            one.close()
        outcomes = [exchanges.get(seen.headers["x-request-id"]) for seen in engine.seen]
        assert {one["outcome"] for one in outcomes} == {"failed"}
        assert all(one["error"]["code"] == "engine_failed" for one in outcomes)
    finally:
        engine.start()
    gateway.wait_until_ready()
