"""What a client is told of its limits, in OpenAI's headers and errors.

https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers,
https://platform.openai.com/docs/guides/error-codes
"""

from collections.abc import Iterable, Iterator

from adapters.errors import GatewayError
from adapters.limits import state
from adapters.limits.state import SECOND, Check, State
from adapters.limits.store import Answer, Demand, Subject

Headers = dict[bytes, bytes]
HEADERS = (
    "retry-after-ms",
    *(
        f"x-ratelimit-{what}-{of}"
        for what in ("limit", "remaining", "reset")
        for of in ("requests", "tokens")
    ),
)
"""The names of all of them."""
_REQUESTS = ("requests_per_minute",)
_TOKENS = ("tokens_per_minute", "tokens_per_day", "tokens_per_month")
_CALENDAR = ("tokens_per_day", "tokens_per_month")
_MILLISECOND = 1000


class RateLimited(GatewayError):
    """This is more than the key, or its tenant, may ask for now."""

    status = 429

    def __init__(self, message: str, check: Check, headers: Headers) -> None:
        self._wait = check.wait
        self._headers = headers
        if check.limit in _CALENDAR:
            self.type = self.code = "insufficient_quota"
        else:
            self.type = "tokens" if check.limit in _TOKENS else "requests"
            self.code = "rate_limit_exceeded"
        super().__init__(message)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """When the same request will be let in if nobody spends meanwhile, and how the limits stand."""
        told = list(self._headers.items())
        if self._wait is None:
            return [*told, (b"x-should-retry", b"false")]
        return [
            *told,
            (b"retry-after", str(_up(self._wait, SECOND)).encode()),
            (b"retry-after-ms", str(_up(self._wait, _MILLISECOND)).encode()),
        ]


def refusal(demand: Demand, answer: Answer) -> RateLimited:
    """Why a demand was refused: of the limits that do not allow it, the one that is to be waited for longest."""
    found = [
        (subject, check)
        for subject, one in _pairs(demand, answer.states)
        for check in state.checks(one, subject.limits, demand.tokens)
    ]
    subject, check = max(found, key=lambda pair: _patience(pair[1]))
    return RateLimited(_message(subject, check, demand.tokens), check, headers(demand, answer))


def headers(demand: Demand, answer: Answer) -> Headers:
    """How the limits stand after the answer: of those on requests, and of those on tokens, the tightest."""
    found: list[Check] = []
    for subject, one in _pairs(demand, answer.states):
        after = state.taken(one, subject.limits, demand.tokens) if answer.taken else one
        found += state.checks(after, subject.limits, 0)
    return {
        name: value
        for what, limits in (("requests", _REQUESTS), ("tokens", _TOKENS))
        for name, value in _of(what, [check for check in found if check.limit in limits])
    }


def duration(microseconds: int) -> str:
    """A time as OpenAI writes it: `12ms`, `1s`, `6m0s`, `23h47m36.648s`; whole milliseconds, rounded up."""
    milliseconds = _up(microseconds, _MILLISECOND)
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    seconds = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if minutes < 60:
        return f"{minutes}m{seconds}" if minutes else seconds
    return f"{minutes // 60}h{minutes % 60}m{seconds}"


def _pairs(demand: Demand, states: Iterable[State]) -> Iterator[tuple[Subject, State]]:
    return zip(demand.subjects, states, strict=True)


def _of(what: str, checks: list[Check]) -> Iterator[tuple[bytes, bytes]]:
    if not checks:
        return
    tightest = min(checks, key=_left)
    yield f"x-ratelimit-limit-{what}".encode(), str(tightest.size).encode()
    yield f"x-ratelimit-remaining-{what}".encode(), str(_left(tightest)).encode()
    yield f"x-ratelimit-reset-{what}".encode(), duration(tightest.reset).encode()


def _left(check: Check) -> int:
    return max(0, check.size - check.used)


def _patience(check: Check) -> float:
    return float("inf") if check.wait is None else check.wait


def _message(subject: Subject, check: Check, tokens: int) -> str:
    kind, what = subject.name.partition(":")[0], check.limit.replace("_", " ")
    asked = tokens if check.limit in _TOKENS else 1
    if check.wait is None:
        return (
            f"Request too large for this {kind} on {what}: Limit {check.size}, Requested {asked}. "
            "Send less, or ask for a shorter answer."
        )
    numbers = f"Limit {check.size}, Used {check.used}, Requested {asked}"
    if check.limit in _CALENDAR:
        return f"This {kind} has used up its {what}: {numbers}. It is free again in {duration(check.wait)}."
    return (
        f"Rate limit reached for this {kind} on {what}: {numbers}. "
        f"Please try again in {duration(check.wait)}."
    )


def _up(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)
