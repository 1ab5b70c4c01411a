"""The generations that are open, and how many may be."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from adapters.errors import GatewayError, Overloaded, ShuttingDown
from adapters.settings import AccessSettings

_LEAVING_SECONDS = 3.0


class Slot:
    """One open generation: it can be stopped from outside, and frees its place when it is left."""

    def __init__(self, admission: "Admission") -> None:
        self._admission = admission
        self._interrupt: Callable[[GatewayError], None] | None = None
        self._stopped_by: GatewayError | None = None

    def on_stop(self, interrupt: Callable[[GatewayError], None]) -> None:
        """Say how the work is interrupted; at once, if it was stopped already."""
        self._interrupt = interrupt
        if self._stopped_by is not None:
            interrupt(self._stopped_by)

    def stop(self, error: GatewayError) -> None:
        """End the generation; the error says why."""
        if self._stopped_by is None:
            self._stopped_by = error
            if self._interrupt is not None:
                self._interrupt(error)

    def leave(self) -> None:
        """Free the place. Leaving twice is leaving once."""
        self._interrupt = None
        self._admission._left(self)


class Admission:
    """Lets generations in, up to a number, until it is closed."""

    def __init__(self, settings: AccessSettings) -> None:
        self._limit = settings.max_open_generations
        self._open: set[Slot] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._closed = False

    @property
    def open(self) -> int:
        """How many generations are open."""
        return len(self._open)

    def enter(self) -> Slot:
        """A place for one generation.

        Raises:
            ShuttingDown: no more are taken.
            Overloaded: all places are taken.
        """
        if self._closed:
            raise ShuttingDown
        if len(self._open) >= self._limit:
            raise Overloaded
        slot = Slot(self)
        self._open.add(slot)
        self._empty.clear()
        return slot

    def close(self) -> None:
        """Take no more."""
        self._closed = True

    async def drain(self, seconds: float) -> None:
        """Give the open ones so many seconds to finish, then end the rest and wait for them to leave."""
        self.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), seconds)
        for slot in list(self._open):
            slot.stop(ShuttingDown())
        # A generation whose client reads nothing cannot leave by itself: the server cancels it after this.
        with suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), _LEAVING_SECONDS)

    def _left(self, slot: Slot) -> None:
        self._open.discard(slot)
        if not self._open:
            self._empty.set()
