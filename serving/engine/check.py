"""Whether an engine answers rightly: asked before anybody else may ask it anything.

A mismatch of precision, processor and compiler gives fluent nonsense without any error. A model with a known answer is
asked for it; of any model it is checked that its numbers are finite, its counts true and its answers steady.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from serving.engine.models import KnownAnswer, Model
from serving.errors import StartFailed
from serving.readiness import NoAnswer, ask

PLAIN_QUESTION = "Say hello."
KNOWN_ANSWER_TOKENS = 24
STEADY_TOKENS = 4
AT_ONCE = 3
LOGPROB_TOLERANCE = 0.25  # natural log; rounding in another batch shape stays far below, nonsense far above


class WrongEngine(StartFailed):
    """The engine runs, but what it answers is not what the model would say."""


class Check:
    """The questions put to one engine. `seconds` limits each."""

    def __init__(self, url: str, model: Model, seconds: float) -> None:
        self._url = url
        self._model = model
        self._seconds = seconds

    def run(self) -> None:
        """Ask everything.

        Raises:
            WrongEngine: an answer is wrong; the message says which, and what may be the cause.
        """
        self._serves_its_name()
        for known in self._model.known_answers:
            self._knows(known)
        self._is_steady()

    def _serves_its_name(self) -> None:
        served = [entry["id"] for entry in self._ask("/v1/models", None)["data"]]
        if self._model.name not in served:
            raise WrongEngine(f"the engine serves {', '.join(served)}, not {self._model.name}")

    def _knows(self, known: KnownAnswer) -> None:
        answer = self._chat(known.question, KNOWN_ANSWER_TOKENS)["choices"][0]["message"]["content"] or ""
        if known.contains not in answer:
            raise WrongEngine(
                f"the engine answers wrongly: asked {known.question!r} it says {answer[:80]!r}, where "
                f"{self._model.name} says {known.contains!r}. Precision, processor and compiler do not fit together: "
                "remove --dtype and compilation options from ZEPHYR_ENGINE_EXTRA_ARGS, or add --enforce-eager to it."
            )

    def _is_steady(self) -> None:
        """The same greedy question again, and several at once, start alike, with true counts and finite numbers."""
        first = self._first_logprob(self._measured_chat())
        again = self._first_logprob(self._measured_chat())
        with ThreadPoolExecutor(AT_ONCE) as pool:
            together = [
                self._first_logprob(a) for a in pool.map(lambda _: self._measured_chat(), range(AT_ONCE))
            ]
        worst = max(abs(value - first) for value in (again, *together))
        if worst > LOGPROB_TOLERANCE:
            raise WrongEngine(
                f"the engine is not steady: the same greedy question differs by {worst:.2f} in its first token's log probability"
            )

    def _measured_chat(self) -> dict[str, Any]:
        answer = self._chat(PLAIN_QUESTION, STEADY_TOKENS)
        self._counts_prompt(answer["usage"]["prompt_tokens"])
        produced, reason = answer["usage"]["completion_tokens"], answer["choices"][0]["finish_reason"]
        stopped_rightly = produced == STEADY_TOKENS if reason == "length" else 0 < produced <= STEADY_TOKENS
        if reason not in ("stop", "length") or not stopped_rightly:
            raise WrongEngine(
                f"the engine gave {produced} tokens and {reason!r} where {STEADY_TOKENS} were the most"
            )
        return answer

    def _counts_prompt(self, counted: int) -> None:
        rendered = self._ask("/tokenize", {"model": self._model.name, "messages": messages(PLAIN_QUESTION)})[
            "count"
        ]
        if counted != rendered:
            raise WrongEngine(f"the engine counts {counted} prompt tokens where its tokenizer has {rendered}")

    def _first_logprob(self, answer: dict[str, Any]) -> float:
        values = [float(token["logprob"]) for token in answer["choices"][0]["logprobs"]["content"]]
        if not values or not all(math.isfinite(value) and value <= 0 for value in values):
            raise WrongEngine("the engine's log probabilities are not finite numbers")
        return values[0]

    def _chat(self, question: str, tokens: int) -> dict[str, Any]:
        body = {"model": self._model.name, "messages": messages(question), "max_tokens": tokens}
        answer: dict[str, Any] = self._ask(
            "/v1/chat/completions", body | {"temperature": 0, "logprobs": True, "seed": 1}
        )
        return answer

    def _ask(self, path: str, body: object) -> Any:
        try:
            answer = ask(self._url, path, body, timeout=self._seconds)
        except NoAnswer as error:
            raise WrongEngine(
                f"the engine did not answer {path} within {self._seconds:.0f} s ({error})"
            ) from error
        if answer.status != 200:
            raise WrongEngine(
                f"the engine answered {path} with status {answer.status}: {answer.body[:200]!r}"
            )
        return answer.json()


def messages(question: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}]
