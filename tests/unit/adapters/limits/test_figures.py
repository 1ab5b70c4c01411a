"""What clients are told of limits has OpenAI's forms, and is true."""

from uuid import uuid4

import pytest

from adapters.access.callers import Limits
from adapters.limits import figures, state
from adapters.limits.state import DAY, MINUTE, SECOND, State
from adapters.limits.store import Answer, Demand, Subject


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (0, "0s"),
        (1, "1ms"),
        (12_000, "12ms"),
        (999_001, "1s"),
        (SECOND, "1s"),
        (1_500_000, "1.5s"),
        (6 * MINUTE, "6m0s"),
        (4 * MINUTE + 12_172_000, "4m12.172s"),
        (60 * MINUTE, "1h0m0s"),
        (DAY - 12 * MINUTE - 23_352_000, "23h47m36.648s"),
        (31 * DAY, "744h0m0s"),
    ],
)
def test_durations(time: int, text: str) -> None:
    """As https://platform.openai.com/docs/guides/rate-limits shows them, and as its servers send them."""
    assert figures.duration(time) == text


def _told(tokens: int, *subjects: tuple[Limits, State]) -> tuple[Demand, Answer]:
    named = tuple(
        Subject(f"{kind}:x", limits) for kind, (limits, _) in zip(("key", "tenant"), subjects, strict=False)
    )
    states = tuple(one for _, one in subjects)
    let = all(state.fits(one, limits, tokens) for limits, one in subjects)
    return Demand(subjects=named, tokens=tokens, lease=uuid4()), Answer(taken=let, states=states)


def test_the_tightest_limit_is_told() -> None:
    """Of a key's and a tenant's, of a minute's and a month's: the one that leaves least."""
    demand, answer = _told(
        10,
        (Limits(requests_per_minute=5, tokens_per_minute=1_000), State(at=DAY)),
        (
            Limits(requests_per_minute=3, tokens_per_day=500),
            State(at=DAY, requests=MINUTE, day_tokens=480),
        ),
    )
    assert figures.headers(demand, answer) == {
        b"x-ratelimit-limit-requests": b"3",
        b"x-ratelimit-remaining-requests": b"1",
        b"x-ratelimit-reset-requests": b"40s",
        b"x-ratelimit-limit-tokens": b"500",
        b"x-ratelimit-remaining-tokens": b"10",
        b"x-ratelimit-reset-tokens": b"24h0m0s",
    }


@pytest.mark.parametrize(
    ("limits", "used", "type", "code", "seconds"),
    [
        (Limits(requests_per_minute=1), State(at=DAY, requests=MINUTE), "requests", "rate_limit_exceeded", "60"),
        (Limits(tokens_per_minute=60), State(at=DAY, tokens=60 * MINUTE), "tokens", "rate_limit_exceeded", "30"),
        (Limits(concurrent_requests=1), State(at=DAY, running=1), "requests", "rate_limit_exceeded", "1"),
        (Limits(tokens_per_day=60), State(at=DAY, day_tokens=60), "insufficient_quota", "insufficient_quota", "86400"),
        (Limits(tokens_per_month=60), State(at=30 * DAY, month_tokens=60), "insufficient_quota", "insufficient_quota", "86400"),
        (
            # Both are waited for, and the month for longer.
            Limits(requests_per_minute=1, tokens_per_month=60),
            State(at=30 * DAY, requests=MINUTE, month_tokens=60),
            "insufficient_quota",
            "insufficient_quota",
            "86400",
        ),
    ],
)  # fmt: skip
def test_a_refusal_is_openais_and_names_the_time(
    limits: Limits, used: State, type: str, code: str, seconds: str
) -> None:
    """Its type, code and headers, and that it is about the key."""
    error = figures.refusal(*_told(30, (limits, used)))
    headers = dict(error.headers())
    assert (error.status, error.type, error.code) == (429, type, code)
    assert headers[b"retry-after"] == seconds.encode()
    assert headers[b"retry-after-ms"] == f"{seconds}000".encode()
    assert "this key" in error.message or "This key" in error.message


def test_what_never_fits_names_no_time() -> None:
    """The longest wait is that for ever, whatever else is to be waited for."""
    limits = Limits(requests_per_minute=1, tokens_per_minute=10)
    error = figures.refusal(*_told(11, (limits, State(at=DAY, requests=MINUTE))))
    assert error.type == "tokens"
    assert dict(error.headers())[b"x-should-retry"] == b"false"
    assert b"retry-after" not in dict(error.headers())


def test_all_headers_are_named() -> None:
    """So that pages of allowed origins may read each."""
    demand, answer = _told(5, (Limits(requests_per_minute=1, tokens_per_day=9), State(at=DAY)))
    told = figures.headers(demand, answer) | dict(figures.refusal(demand, answer).headers())
    assert {name.decode() for name in told} == {*figures.HEADERS, "retry-after"}
