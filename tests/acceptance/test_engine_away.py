"""An engine that loads, is unwell, dies, falls silent or has no room is a clear refusal, never a hang."""

from tests.acceptance.conftest import NewGateway
from tests.acceptance.gateway import chat
from tests.fakes.engine import Script, ScriptedEngine


def test_loading_engine(new_gateway: NewGateway, engine: ScriptedEngine) -> None:
    """Before the engine is up the gateway answers, says 503 with Retry-After, and serves as soon as it is."""
    engine.stop()
    try:
        gateway = new_gateway()
        gateway.start()
        gateway.wait_until_alive()
        for stream in (False, True):
            answer = gateway.post("/v1/chat/completions", chat(stream=stream))
            assert (answer.status, answer.error["code"]) == (503, "engine_loading")
            assert int(answer.headers["retry-after"]) >= 1
        assert gateway.get("/readyz").status == 503
    finally:
        engine.start()
    try:
        gateway.wait_until_ready()
        assert gateway.post("/v1/chat/completions", chat()).status == 200
    finally:
        gateway.kill()


def test_unwell_engine(new_gateway: NewGateway, engine: ScriptedEngine) -> None:
    """An engine that says it is unwell gets no requests until it is well again."""
    with new_gateway() as gateway:
        engine.healthy = False
        gateway.wait_until_unready()
        answer = gateway.post("/v1/chat/completions", chat())
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert engine.seen == []
        engine.healthy = True
        gateway.wait_until_ready()
        assert gateway.post("/v1/chat/completions", chat()).status == 200


def test_gone_engine(new_gateway: NewGateway, engine: ScriptedEngine) -> None:
    """An engine that dies breaks what runs, in order, and refuses what comes, until it is back."""
    with new_gateway() as gateway:
        engine.script = Script(stop_after=2, ending="hang")
        with gateway.opened("POST", "/v1/chat/completions", chat(stream=True)) as response:
            response.read1()
            engine.stop()
            try:
                rest = response.read()
                answer = gateway.post("/v1/chat/completions", chat())
            finally:
                engine.start()
        assert b"[DONE]" not in rest
        assert b'"error"' in rest
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) >= 1
        engine.forget()
        gateway.wait_until_ready()
        assert gateway.post("/v1/chat/completions", chat()).status == 200


def test_silent_engine(new_gateway: NewGateway, engine: ScriptedEngine) -> None:
    """Silence before the first byte, and in the middle, ends at its own time-out, and stops the engine's work."""
    settings = {"ZEPHYR_ENGINE_FIRST_BYTE_TIMEOUT": "0.4", "ZEPHYR_ENGINE_IDLE_TIMEOUT": "0.4"}
    with new_gateway(**settings) as gateway:
        engine.script = Script(silence=60)
        for stream in (False, True):
            answer = gateway.post("/v1/chat/completions", chat(stream=stream))
            assert answer.status == 504
            assert answer.error["type"] == "server_error"
        engine.script = Script(stop_after=3, ending="hang")
        answer = gateway.post("/v1/chat/completions", chat(stream=True))
        assert b'"engine_timeout"' in answer.body and b"[DONE]" not in answer.body
        engine.script = Script(stop_after=20, ending="hang")
        assert gateway.post("/v1/chat/completions", chat()).status == 504
    assert [seen.wait(1.0) for seen in engine.seen] == ["aborted"] * 4


def test_too_many_at_once(new_gateway: NewGateway, engine: ScriptedEngine) -> None:
    """More generations than there is room for are refused at once, and room is made by those that end."""
    with new_gateway(ZEPHYR_MAX_OPEN_GENERATIONS="2") as gateway:
        engine.script = Script(stop_after=2, ending="hang")
        open_ones = [gateway.send(chat(stream=True)) for _ in range(2)]
        engine.wait_for(2)
        answer = gateway.post("/v1/chat/completions", chat())
        assert (answer.status, answer.error["code"]) == (503, "overloaded")
        assert int(answer.headers["retry-after"]) >= 1
        assert len(engine.seen) == 2
        for one in open_ones:
            one.close()
        assert [seen.wait(1.0) for seen in engine.seen] == ["aborted"] * 2
        engine.script = Script()
        assert gateway.post("/v1/chat/completions", chat()).status == 200


def test_answer_larger_than_allowed(new_gateway: NewGateway, engine: ScriptedEngine) -> None:
    """An answer that outgrows its bound is ended, plain and streamed."""
    with new_gateway(ZEPHYR_MAX_ANSWER_BYTES="65536") as gateway:
        engine.script = Script(pieces=("x" * 1024,) * 200)
        assert gateway.post("/v1/chat/completions", chat()).status >= 500
        answer = gateway.post("/v1/chat/completions", chat(stream=True))
    assert b'"error"' in answer.body
    assert b"[DONE]" not in answer.body
    assert len(answer.body) < 400_000
