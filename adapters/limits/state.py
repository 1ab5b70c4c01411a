"""The arithmetic of limits: pure, in whole numbers, with the clock passed in.

A minute is a leaky bucket used as a meter, which is the generic cell rate algorithm in its other form (ITU-T I.371):
what is taken fills it, it drains evenly in a minute, and what would make it overflow is refused. So of a limit L
requests that begin within any w seconds use at most L * (1 + w / 60) tokens, whatever the moment at which one starts
to look, and the time at which a refused request would fit is known. A day and a month are those of the calendar, in
UTC: of a limit L requests that begin within one use at most L.

Both hold as long as none uses more than was reserved for it. What does is charged in full afterwards.

Times are microseconds since 1970. A bucket's level is in sixty-millionths of a request or token, so that a limit of L
a minute drains it by L in a microsecond, and nothing is ever rounded.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from adapters.access.callers import Limits

SECOND = 1_000_000
MINUTE = 60 * SECOND
DAY = 24 * 60 * MINUTE
_LATER = SECOND
"""When one of a caller's running requests ends is not known: a second is a guess at when to look again."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What a key or a tenant has used up, at a moment."""

    at: int = 0
    requests: int = 0
    """The level of the bucket of requests."""
    tokens: int = 0
    """The level of the bucket of tokens."""
    day_tokens: int = 0
    month_tokens: int = 0
    running: int = 0
    """Requests that run now."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One limit against what is used up and what is asked for."""

    limit: str
    """Its name, that of the field of `Limits`."""
    size: int
    used: int
    """Rounded up."""
    wait: int | None
    """Microseconds until it would allow what is asked for if nobody spends meanwhile: 0 is now, None is never."""
    reset: int
    """Microseconds until all of it is free again if nobody spends meanwhile."""


def at(now: int, state: State, limits: Limits) -> State:
    """What of a state is left at a later moment: buckets have drained, days and months have ended."""
    now = max(now, state.at)
    return State(
        at=now,
        requests=_drained(state.requests, limits.requests_per_minute, now - state.at),
        tokens=_drained(state.tokens, limits.tokens_per_minute, now - state.at),
        day_tokens=state.day_tokens if state.at >= day_of(now)[0] else 0,
        month_tokens=state.month_tokens if state.at >= month_of(now)[0] else 0,
        running=state.running,
    )


def checks(state: State, limits: Limits, tokens: int) -> Iterator[Check]:
    """Each limit against one request more with so many tokens, at the moment of the state."""
    if limits.requests_per_minute is not None:
        yield _minute("requests_per_minute", limits.requests_per_minute, state.requests, 1)
    if limits.tokens_per_minute is not None:
        yield _minute("tokens_per_minute", limits.tokens_per_minute, state.tokens, tokens)
    if limits.concurrent_requests is not None:
        yield Check(
            limit="concurrent_requests",
            size=limits.concurrent_requests,
            used=state.running,
            wait=0 if state.running < limits.concurrent_requests else _LATER,
            reset=0,
        )
    if limits.tokens_per_day is not None:
        left = day_of(state.at)[1] - state.at
        yield _window("tokens_per_day", limits.tokens_per_day, state.day_tokens, tokens, left)
    if limits.tokens_per_month is not None:
        left = month_of(state.at)[1] - state.at
        yield _window("tokens_per_month", limits.tokens_per_month, state.month_tokens, tokens, left)


def fits(state: State, limits: Limits, tokens: int) -> bool:
    """Whether every limit allows one request more with so many tokens, at the moment of the state."""
    return all(check.wait == 0 for check in checks(state, limits, tokens))


def taken(state: State, limits: Limits, tokens: int) -> State:
    """The state after one request more with so many tokens."""
    return State(
        at=state.at,
        requests=state.requests + MINUTE if limits.requests_per_minute is not None else 0,
        tokens=state.tokens + tokens * MINUTE if limits.tokens_per_minute is not None else 0,
        day_tokens=state.day_tokens + tokens,
        month_tokens=state.month_tokens + tokens,
        running=state.running + 1 if limits.concurrent_requests is not None else state.running,
    )


def settled(state: State, limits: Limits, *, taken_at: int, reserved: int, used: int, requests: int) -> State:
    """The state, at its moment, after a request has ended that had `reserved` tokens and used so many.

    Without a request (`requests=0`) it was refused after all, and it gives that back too. What has drained since
    `taken_at` cannot be given back: whoever used it up since would otherwise have had it twice.
    """
    since = max(0, state.at - taken_at)
    same_day, same_month = taken_at >= day_of(state.at)[0], taken_at >= month_of(state.at)[0]
    return State(
        at=state.at,
        requests=_changed(state.requests, limits.requests_per_minute, requests - 1, since),
        tokens=_changed(state.tokens, limits.tokens_per_minute, used - reserved, since),
        day_tokens=max(0, state.day_tokens + (used - reserved if same_day else 0)),
        month_tokens=max(0, state.month_tokens + (used - reserved if same_month else 0)),
        running=state.running,
    )


def day_of(moment: int) -> tuple[int, int]:
    """The first moment of its day, and of the next."""
    start = moment - moment % DAY
    return start, start + DAY


def month_of(moment: int) -> tuple[int, int]:
    """The first moment of its month, and of the next."""
    start = datetime.fromtimestamp(moment // SECOND, UTC).replace(day=1, hour=0, minute=0, second=0)
    following = (start + timedelta(days=31)).replace(day=1)
    return int(start.timestamp()) * SECOND, int(following.timestamp()) * SECOND


def _drained(level: int, limit: int | None, time: int) -> int:
    return max(0, level - limit * time) if limit is not None else 0


def _changed(level: int, limit: int | None, change: int, since: int) -> int:
    if limit is None:
        return 0
    if change >= 0:
        return level + change * MINUTE
    return max(0, level - max(0, -change * MINUTE - limit * since))


def _minute(name: str, limit: int, level: int, asked: int) -> Check:
    over = level + asked * MINUTE - limit * MINUTE
    wait = None if asked > limit else max(0, _up(over, limit))
    return Check(limit=name, size=limit, used=_up(level, MINUTE), wait=wait, reset=_up(level, limit))


def _window(name: str, limit: int, used: int, asked: int, left: int) -> Check:
    wait = 0 if used + asked <= limit else left if asked <= limit else None
    return Check(limit=name, size=limit, used=used, wait=wait, reset=left)


def _up(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)
