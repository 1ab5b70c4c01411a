"""What each tenant was served, for whoever looks at the gateway. It decides nothing: that is `fairness`."""

from dataclasses import dataclass

_MOST_TENANTS = 1000
MOST_SHOWN = 50


@dataclass(slots=True)
class Tokens:
    """Tokens of prompts and of answers."""

    prompt: int = 0
    answer: int = 0


class Served:
    """The tokens of finished generations, of the tenants that were served last. Others are forgotten."""

    def __init__(self) -> None:
        self._tokens: dict[str, Tokens] = {}

    def note(self, tenant: str, prompt: int, answer: float) -> None:
        """Count a generation that has ended."""
        tokens = self._tokens.pop(tenant, None) or Tokens()
        tokens.prompt += prompt
        tokens.answer += round(answer)
        self._tokens[tenant] = tokens  # to the end: whoever was served last is forgotten last
        if len(self._tokens) > _MOST_TENANTS:
            del self._tokens[next(iter(self._tokens))]

    def of(self, tenant: str) -> Tokens:
        """What it was served."""
        return self._tokens.get(tenant) or Tokens()

    def latest(self) -> list[str]:
        """The tenants, whoever was served last before the others."""
        return [*reversed(self._tokens)]


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantStatus:
    """A tenant now, and what it was served since this process began, as far as that is remembered."""

    tenant: str
    running: int
    waiting: int
    prompt_tokens: int
    """With what is estimated of the running ones."""
    answer_tokens: int
    """With what the running ones have so far."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueStatus:
    """The queue and the places of one gateway process, and who has them."""

    open: int
    most_open: int
    waiting: int
    running: int
    """Those at the engine."""
    places: int
    spare_places: int
    tenants: list[TenantStatus]
    """First those that wait or run, the busiest first, then those that were served last."""
    other_tenants: int
    """How many more are remembered."""
