"""An engine that breaks off before anything of its answer was passed on is asked again, where several stand behind it."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.conftest import NewGateway
from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import Answer, Gateway, chat, seen_text
from tests.fakes import answers
from tests.fakes.answers import Json
from tests.fakes.engine import Script, ScriptedEngine

DEAD = Script(
    status=500, body=answers.compact(answers.error(500, "EngineCore is dead", type="InternalServerError"))
)
BROKEN = {
    "before the status": Script(raw=b"HTTP/1.1 2", ending="reset"),
    "before the first event": Script(stop_after=0, ending="close"),
    "with an engine that is dead": DEAD,
}


class Breaking(ScriptedEngine):
    """Breaks the next answers, and then is well."""

    breaks: list[Script]

    def script_for(self, body: Json) -> Script:
        return self.breaks.pop(0) if self.breaks else super().script_for(body)


@pytest.fixture(scope="module")
def breaking() -> Iterator[Breaking]:
    with Breaking() as engine:
        engine.breaks = []
        yield engine


@pytest.fixture(scope="module")
def trying(breaking: Breaking, new_gateway: NewGateway) -> Iterator[Gateway]:
    """A gateway that asks twice."""
    with new_gateway(
        ENGINE_URL=breaking.url, ZEPHYR_ENGINE_TRIES="2", ZEPHYR_ENGINE_HEALTH_PATH="/readiness"
    ) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def _forget(breaking: Breaking) -> None:
    breaking.forget()
    breaking.breaks = []


def ask(gateway: Gateway, stream: bool) -> Answer:
    return gateway.post("/v1/chat/completions", chat("hello", stream=stream))


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("how", BROKEN)
def test_an_answer_that_had_not_begun_is_made_once_more_and_logged_once(
    trying: Gateway, breaking: Breaking, exchanges: Exchanges, how: str, stream: bool
) -> None:
    """The client sees nothing of it; the log has one exchange, and one answer's tokens."""
    breaking.breaks = [BROKEN[how]]
    before = exchanges.count()
    answer = ask(trying, stream)
    assert answer.status == 200
    text = seen_text(answer.body)[0] if stream else answer.json["choices"][0]["message"]["content"]
    assert text == "Hello, world."
    first, second = breaking.wait_for(2)
    assert (first.outcome, second.outcome) == ("completed" if how.endswith("dead") else "broken", "completed")
    for name in ("x-request-id", "x-session-id"):
        assert first.headers[name] == second.headers[name]
    exchange = exchanges.get(answer.headers["x-request-id"])
    assert (exchange["outcome"], exchange["completion_tokens"]) == ("completed", 4)
    assert exchanges.count() == before + 1


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_request_that_breaks_every_engine_is_not_sent_for_ever(
    trying: Gateway, breaking: Breaking, exchanges: Exchanges, stream: bool
) -> None:
    """Twice, and then its client is told; it is in the log as what it was."""
    breaking.breaks = [BROKEN["before the first event"]] * 4
    answer = ask(trying, stream)
    assert (answer.status, answer.error["code"]) == (503, "engine_failed")
    assert len(breaking.seen) == 2
    assert exchanges.get(answer.headers["x-request-id"])["outcome"] == "failed"


def test_an_answer_that_had_begun_is_not_made_again(
    trying: Gateway, breaking: Breaking, exchanges: Exchanges
) -> None:
    """What was passed on cannot be taken back: the stream ends with an error, and the log has what was seen."""
    breaking.breaks = [Script(stop_after=3, ending="reset")]
    answer = ask(trying, stream=True)
    text, errors = seen_text(answer.body)
    assert text
    assert [error["code"] for error in errors] == ["engine_failed"]
    assert b"[DONE]" not in answer.body
    assert len(breaking.seen) == 1
    exchange = exchanges.get(answer.headers["x-request-id"])
    assert (exchange["outcome"], exchange["answer"][0]["content"]) == ("failed", text)


def test_a_refusal_is_an_answer(trying: Gateway, breaking: Breaking) -> None:
    """Another engine would say the same."""
    breaking.breaks = [Script(status=400, body=answers.compact(answers.error(400, "no", type="Bad")))]
    assert ask(trying, stream=True).status == 400
    assert len(breaking.seen) == 1


def test_one_engine_is_asked_once(gateway: Gateway, engine: ScriptedEngine) -> None:
    """As before: there is nobody else to ask."""
    engine.script = BROKEN["before the first event"]
    assert ask(gateway, stream=True).error["code"] == "engine_failed"
    assert len(engine.seen) == 1


def test_a_router_without_engines_is_not_told_of_as_a_full_queue(trying: Gateway, breaking: Breaking) -> None:
    """Its own 503 is plain text."""
    breaking.breaks = [Script(status=503, body=b"No available workers (all circuits open or unhealthy)")]
    answer = ask(trying, stream=False)
    assert (answer.status, answer.error["code"]) == (503, "engine_unavailable")
    assert int(answer.headers["retry-after"]) >= 1


def test_engines_behind_a_router_are_counted(trying: Gateway, breaking: Breaking) -> None:
    """One that is missed is a problem, and no reason to refuse anybody."""
    assert "replicas" not in part(trying)["detail"]
    breaking.readiness_page = readiness(1, 2)
    missed = until_counted(trying, {"ready": 1, "all": 2})
    assert (missed["ready"], missed["problem"]) == (True, "1 of 2 engines are ready.")
    breaking.readiness_page = readiness(2, 2)
    assert until_counted(trying, {"ready": 2, "all": 2})["problem"] is None
    breaking.readiness_page = b'{"healthy_workers": "many"}'
    until_counted(trying, None)


def readiness(ready: int, engines: int) -> bytes:
    """What vllm-router 0.1.17 says."""
    return json.dumps({"status": "ready", "healthy_workers": ready, "total_workers": engines}).encode()


def until_counted(gateway: Gateway, replicas: dict[str, int] | None) -> dict[str, Any]:
    """What readiness says of the engine once it counts so many."""
    limit = time.monotonic() + 5
    while (found := part(gateway))["detail"].get("replicas") != replicas:
        assert time.monotonic() < limit, found
        time.sleep(0.02)
    return found


def part(gateway: Gateway) -> dict[str, Any]:
    answer = gateway.get("/readyz")
    assert answer.status == 200
    found: dict[str, Any] = answer.json["parts"]["engine"]
    return found
