"""What clients asked and what they saw, and whether the log agrees."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True)
class Asked:
    """One request of a client, as the client knows it."""

    question: str
    """Asked only once by anybody, so that it names the request."""
    acknowledged: bool = False
    """Whether the client saw the end of the answer: the whole body, or `[DONE]`."""
    answer: str = ""
    """The text that it saw."""
    status: int | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a comparison of the clients' history with the log found. Each list holds questions."""

    acknowledged: int
    lost: Sequence[str]
    """Acknowledged, and not in the log."""
    twice: Sequence[str]
    """In the log more than once."""
    changed: Sequence[str]
    """Acknowledged, and in the log with another text, or as something that is not complete."""
    invented: Sequence[str]
    """In the log, and asked by nobody."""

    @property
    def holds(self) -> bool:
        """Whether the promise was kept."""
        return not (self.lost or self.twice or self.changed or self.invented)


@dataclass(kw_only=True)
class History:
    """The history of all clients together."""

    asked: list[Asked] = field(default_factory=list)

    def compare(self, rows: Iterable[Mapping[str, Any]]) -> Verdict:
        """Hold the history against the rows of the log (`input`, `answer`, `outcome`)."""
        logged: dict[str, Mapping[str, Any]] = {}
        count: Counter[str] = Counter()
        for row in rows:
            question = json.loads(row["input"])[-1]["content"]
            logged[question] = row
            count[question] += 1
        known = {one.question: one for one in self.asked}
        acknowledged = [one for one in self.asked if one.acknowledged]
        return Verdict(
            acknowledged=len(acknowledged),
            lost=[one.question for one in acknowledged if one.question not in logged],
            twice=[question for question, times in count.items() if times > 1],
            changed=[
                one.question
                for one in acknowledged
                if one.question in logged and not _says(logged[one.question], one.answer)
            ],
            invented=[question for question in logged if question not in known],
        )


def _says(row: Mapping[str, Any], answer: str) -> bool:
    if row["outcome"] != "completed" or row["answer"] is None:
        return False
    said: str = json.loads(row["answer"])[0]["content"]
    return said.strip() == answer.strip()
