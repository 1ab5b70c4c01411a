"""The check before readiness, against servers that answer rightly and wrongly."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.engine.check import Check, WrongEngine
from serving.engine.models import KnownAnswer, Model
from tests.integration.serving import fake_vllm

KNOWN = (KnownAnswer(question="What is the capital of France?", contains="Paris"),)


class Fake:
    """A server whose answers a test chooses."""

    def __init__(self, folder: Path) -> None:
        self.behaviour = folder / "behaviour"
        self.url = f"unix:{folder}/engine.sock"

    def check(self, known_answers: tuple[KnownAnswer, ...] = (), seconds: float = 5.0) -> None:
        model = Model(name="mine", source="", origin="folder", known_answers=known_answers)
        Check(self.url, model, seconds).run()


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    fake = Fake(tmp_path)
    monkeypatch.setenv("FAKE_VLLM", str(fake.behaviour))
    with fake_vllm.Server(str(tmp_path / "engine.sock"), fake_vllm.Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield fake
        server.shutdown()
        thread.join()


def test_right_engine_passes(fake: Fake) -> None:
    """With a known answer, and without one."""
    fake.behaviour.write_text("right")
    fake.check(KNOWN)
    fake.check()


def test_fluent_nonsense_is_refused_with_the_likely_cause(fake: Fake) -> None:
    """The message shows the answer and says what to change."""
    fake.behaviour.write_text("wrong")
    with pytest.raises(WrongEngine, match=r"Étoile.*says 'Paris'.*ZEPHYR_ENGINE_EXTRA_ARGS"):
        fake.check(KNOWN)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("other-name", "serves another, not mine"),
        ("not-finite", "not finite"),
        ("miscounts", "counts 7 prompt tokens where its tokenizer has 8"),
        ("unsteady", "not steady"),
        ("endless", "gave 5 tokens and 'length' where 4 were the most"),
        ("refuses", "status 500"),
    ],
)
def test_engine_without_a_known_answer_is_refused_by_what_can_be_seen(
    fake: Fake, fault: str, message: str
) -> None:
    """Numbers, counts and steadiness are true of any model."""
    fake.behaviour.write_text(fault)
    with pytest.raises(WrongEngine, match=message):
        fake.check()


def test_engine_that_never_answers_is_refused_in_time(fake: Fake) -> None:
    """A question has a limit."""
    fake.behaviour.write_text("silent")
    with pytest.raises(WrongEngine, match=r"within 0 s|within 1 s"):
        fake.check(seconds=0.6)
