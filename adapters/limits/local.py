"""Limits as one gateway knows them by itself, for as long as the store is away."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from uuid import UUID

import msgspec

from adapters.limits import state
from adapters.limits.state import State
from adapters.limits.store import Answer, Demand, Settlement, Subject

_MOST_SUBJECTS = 10_000  # those unused for longest are forgotten first, and begin anew


class LocalCounts:
    """Follows what the store said last, and counts on from there. It knows no other gateway."""

    def __init__(self) -> None:
        self._states: OrderedDict[str, State] = OrderedDict()
        self._followed: dict[str, int] = {}
        """Of each of them, the moment of the newest answer that was followed, by the store's clock."""
        self._running: dict[str, set[UUID]] = {}

    def take(self, demand: Demand) -> Answer:
        """Take all that is asked for, or nothing."""
        now = time.time_ns() // 1000
        known = [self._states.get(subject.name, State()) for subject in demand.subjects]
        now = max(now, *(one.at for one in known))
        states = tuple(
            msgspec.structs.replace(
                state.at(now, one, subject.limits), running=len(self._running.get(subject.name, ()))
            )
            for subject, one in zip(demand.subjects, known, strict=True)
        )
        pairs = zip(demand.subjects, states, strict=True)
        answer = Answer(
            taken=all(state.fits(one, subject.limits, demand.tokens) for subject, one in pairs), states=states
        )
        self._take_over(demand, answer, states)
        return answer

    def follow(self, demand: Demand, answer: Answer) -> None:
        """Take over what the store says. Answers may come in another order than they were given."""
        states = []
        for subject, one in zip(demand.subjects, answer.states, strict=True):
            newest = one.at >= self._followed.get(subject.name, 0)
            if newest:
                self._followed[subject.name] = one.at
            states.append(one if newest else None)
        self._take_over(demand, answer, states)

    def _take_over(self, demand: Demand, answer: Answer, states: Sequence[State | None]) -> None:
        for subject, one in zip(demand.subjects, states, strict=True):
            if answer.taken and subject.limits.concurrent_requests is not None:
                self._running.setdefault(subject.name, set()).add(demand.lease)
            if one is not None:
                self._keep(subject, state.taken(one, subject.limits, demand.tokens) if answer.taken else one)

    def settle(self, settlement: Settlement) -> None:
        """Count what was used instead of what was reserved, and free the place."""
        now = time.time_ns() // 1000
        for subject in settlement.subjects:
            if running := self._running.get(subject.name):
                running.discard(settlement.lease)
                if not running:
                    del self._running[subject.name]
            current = state.at(now, self._states.get(subject.name, State()), subject.limits)
            ended = state.settled(
                current,
                subject.limits,
                taken_at=settlement.taken_at,
                reserved=settlement.reserved,
                used=settlement.used,
                requests=settlement.requests,
            )
            self._keep(subject, ended)

    def _keep(self, subject: Subject, kept: State) -> None:
        self._states[subject.name] = kept
        self._states.move_to_end(subject.name)
        if len(self._states) > _MOST_SUBJECTS:
            forgotten, _ = self._states.popitem(last=False)
            self._followed.pop(forgotten, None)
