"""What this process says it is at work on, for as long as it is: responses in the background, and conversations.

A row in PostgreSQL with a lease stands for each. Whoever stops saying so, because it has ended or cannot reach
PostgreSQL, has lost it after the lease; it then stops by itself, so that two never answer one conversation.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

import structlog

from adapters.conversations.errors import LogUnavailable
from adapters.errors import Cancelled, GatewayError
from adapters.responses.conversation_repository import ConversationRepository
from adapters.responses.errors import LeaseLost
from adapters.responses.ids import id_after, response_id
from adapters.responses.repository import ResponseRepository
from adapters.responses.response import Facts

_log = structlog.get_logger(__name__)
_MOST_SECONDS_BETWEEN = 1.0
_CLOSING_SECONDS = 2.0


class Hold:
    """One response that is being made."""

    def __init__(self, id: UUID, background: bool, valid_until: float) -> None:
        self.id = id
        self.background = background
        self.valid_until = valid_until
        """In `time.monotonic()`; somewhat before the lease in PostgreSQL is over."""
        self.stop: Callable[[GatewayError], None] | None = None

    @property
    def lost(self) -> bool:
        """Whether another may have taken over."""
        return time.monotonic() > self.valid_until


class Holds:
    """All that this process holds."""

    def __init__(
        self, repository: ResponseRepository, conversations: ConversationRepository, lease: float
    ) -> None:
        """`lease` is in seconds."""
        self._repository = repository
        self._conversations = conversations
        self._lease = lease
        self._held: dict[UUID, Hold] = {}
        self._closing: dict[UUID, float] = {}
        """Of responses that have ended and whose exchanges are not in PostgreSQL yet, until when that is waited for."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to renew."""
        self._task = asyncio.create_task(self._renew_for_ever(), name="response leases")

    async def end(self) -> None:
        """Stop renewing."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def take(
        self, caller: str, facts: Facts, *, conversation: UUID | None, background: bool = False
    ) -> Hold:
        """Hold a response, and with it its conversation. In a conversation its id sorts after all that is there.

        Raises:
            ConversationNotFound: this caller has no such conversation.
            ConversationLocked: another one is being made in it.
            LogUnavailable: nobody could be told.
        """
        if conversation is not None:
            await self._conversations.conversation(caller, conversation)
        valid_until = self._valid_until()
        await self._repository.open(
            caller, facts, conversation=conversation, background=background, lease=self._lease
        )
        hold = self._held[facts.id] = Hold(facts.id, background, valid_until)
        if conversation is not None:
            try:
                await self._sort_last(hold, conversation)
            except BaseException:
                self._held.pop(hold.id, None)
                raise
        return hold

    async def _sort_last(self, hold: Hold, conversation: UUID) -> None:
        id = id_after(await self._conversations.last_id(conversation), hold.id)
        if id != hold.id:
            await self._repository.rename(hold.id, id)
            self._held[id] = self._held.pop(hold.id)
            hold.id = id

    @asynccontextmanager
    async def conversation(self, caller: str, facts: Facts, id: UUID) -> AsyncIterator[None]:
        """Hold a conversation for a change in it.

        Raises:
            ConversationNotFound: this caller has no such conversation.
            ConversationLocked: a response is being made in it.
        """
        hold = await self.take(caller, facts, conversation=id)
        try:
            yield
        finally:
            await self.drop(hold)

    async def close(self, hold: Hold) -> None:
        """Let go of a response whose exchange was given to the log: at once if it is in PostgreSQL, or as soon as it is.

        So nobody answers a conversation without having read what was said last.
        """
        hold.stop = None
        self._closing[hold.id] = time.monotonic() + self._lease
        await self._close(hold.id)

    async def drop(self, hold: Hold) -> None:
        """Let go of one of which nothing came."""
        self._held.pop(hold.id, None)
        try:
            await self._repository.drop(hold.id)
        except LogUnavailable:
            _log.warning("a response stays held", event_key="hold_stays", response_id=response_id(hold.id))

    async def fail(self, hold: Hold, error: GatewayError) -> None:
        """Let go of a background response that ended before the engine was asked."""
        self._held.pop(hold.id, None)
        try:
            await self._repository.close_failed(hold.id, error.detail())
        except LogUnavailable:
            _log.warning("a response stays held", event_key="hold_stays", response_id=response_id(hold.id))

    async def _close(self, id: UUID) -> None:
        try:
            async with asyncio.timeout(_CLOSING_SECONDS):
                closed = await self._repository.close(id)
        except (LogUnavailable, TimeoutError):
            closed = False
        if closed or time.monotonic() > self._closing.get(id, 0.0):
            self._closing.pop(id, None)
            self._held.pop(id, None)

    async def _renew_for_ever(self) -> None:
        while True:
            await asyncio.sleep(min(_MOST_SECONDS_BETWEEN, self._lease / 5))
            try:
                await self._look()
            except Exception as error:  # noqa: BLE001  # without it every response here would be lost
                _log.error("the leases stumbled", event_key="lease_error", error=type(error).__name__)

    async def _look(self) -> None:
        for id in list(self._closing):
            await self._close(id)
        if self._held:
            await self._renew()
        for hold in list(self._held.values()):
            if hold.lost and hold.stop is not None:
                hold.stop(LeaseLost())

    async def _renew(self) -> None:
        valid_until = self._valid_until()
        held = list(self._held)
        try:
            found = await self._repository.renew(held, self._lease)
        except LogUnavailable:
            return  # each is lost when its time is over
        for id in held:
            hold = self._held.get(id)
            if hold is None:
                continue
            if id not in found:
                hold.valid_until = 0.0
            else:
                hold.valid_until = valid_until
                if found[id] and hold.stop is not None:
                    hold.stop(Cancelled())

    def _valid_until(self) -> float:
        return time.monotonic() + self._lease * 2 / 3
