"""Nothing lost, nothing twice, nothing changed: a short run of what `python -m tests.chaos` does at length."""

import json
from pathlib import Path
from typing import Any

from tests.chaos.history import Asked, History
from tests.chaos.run import Plan, unleash


async def test_what_clients_saw_is_in_the_log_word_for_word_and_once(tmp_path: Path) -> None:
    """Two gateways and PostgreSQL are killed, frozen and starved under load."""
    report = await unleash(Plan(kills=16, acknowledged=300, seconds=90), tmp_path)
    assert report.verdict.holds, report.verdict
    assert report.kills >= 16
    assert report.acts["gateway frozen"]
    assert report.verdict.acknowledged >= 300
    assert report.longest_answer < 10


def row(question: str, answer: str = "yes", outcome: str = "completed") -> dict[str, Any]:
    return {
        "input": json.dumps([{"role": "user", "content": question}]),
        "answer": json.dumps([{"content": answer}]),
        "outcome": outcome,
    }


def test_the_comparison_sees_every_way_of_breaking_the_promise() -> None:
    """A checker that cannot fail would prove nothing."""
    seen = [Asked(question=name, acknowledged=True, answer="yes") for name in "abcde"]
    history = History(asked=[*seen, Asked(question="unknown")])
    verdict = history.compare(
        [row("a"), row("b"), row("b"), row("c", "no"), row("d", outcome="failed"), row("x"), row("unknown")]
    )
    assert verdict.acknowledged == 5
    assert verdict.lost == ["e"]
    assert verdict.twice == ["b"]
    assert verdict.changed == ["c", "d"]
    assert verdict.invented == ["x"]
    assert not verdict.holds
    assert history.compare([row(name) for name in "abcde"]).holds
