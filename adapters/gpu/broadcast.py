"""The latest value for many listeners, at the pace of each."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Broadcast(Generic[_T]):
    """Keeps one value. A listener that is slow misses values, and holds nobody and no memory up."""

    def __init__(self) -> None:
        self._latest: _T | None = None
        self._number = 0
        self._changed = asyncio.Event()
        self._closed = False

    def publish(self, value: _T) -> None:
        """Give a value to whoever listens."""
        self._latest = value
        self._number += 1
        self._wake()

    def close(self) -> None:
        """End all listening, now and from now on."""
        self._closed = True
        self._wake()

    async def listen(self) -> AsyncGenerator[_T, None]:
        """The values published from now on, as many of them as the listener keeps up with."""
        seen = self._number
        while not self._closed:
            if self._number == seen or self._latest is None:
                await self._changed.wait()
                continue
            seen = self._number
            yield self._latest

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
