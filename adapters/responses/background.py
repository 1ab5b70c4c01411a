"""Responses that nobody waits for, and those who follow one as it is made.

What others are to read is in PostgreSQL, so that any gateway can tell of a response that another one makes.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from uuid import UUID

import msgspec
import structlog

from adapters.access.client import Client
from adapters.conversations.errors import ExchangeNotFound, LogUnavailable
from adapters.conversations.repository import ExchangeRepository
from adapters.errors import Cancelled, GatewayError, Overloaded
from adapters.responses.answering import Answering, Draft
from adapters.responses.errors import ResponseNotFound
from adapters.responses.events import ENDS, Event, encoded, framed, last_type
from adapters.responses.holds import Hold
from adapters.responses.ids import response_id
from adapters.responses.repository import ResponseRepository
from adapters.responses.response import ENDPOINT, Facts, facts_of, response

_log = structlog.get_logger(__name__)
_FLUSH_SECONDS = 0.1
_POLL_SECONDS = 0.2
_PATIENCE_SECONDS = 10.0
_CANCELLING_SECONDS = 5.0


class Background:
    """The responses that this process makes in the background."""

    def __init__(self, answering: Answering, repository: ResponseRepository, limit: int) -> None:
        """At most `limit` at once."""
        self._answering = answering
        self._repository = repository
        self._limit = limit
        self._running: dict[UUID, tuple[asyncio.Task[None], Hold]] = {}

    def require_room(self) -> None:
        """Return only if one more can be made.

        Raises:
            Overloaded: there are as many as there may be.
        """
        if len(self._running) >= self._limit:
            raise Overloaded("As many background responses are being made as this server takes.")

    def begin(self, draft: Draft, *, streamed: bool) -> None:
        """Make a response that is held; with `streamed` its events are kept."""
        assert draft.hold is not None
        id = draft.facts.id
        task = asyncio.create_task(self._make(draft, streamed=streamed), name="background response")
        self._running[id] = (task, draft.hold)
        task.add_done_callback(lambda _: self._running.pop(id, None))

    async def cancel(self, id: UUID) -> None:
        """Stop a response at once, if it is made here, and return when its place is free or that takes too long."""
        if id in self._running:
            task, hold = self._running[id]
            if hold.stop is not None:
                hold.stop(Cancelled())
            await asyncio.wait([task], timeout=_CANCELLING_SECONDS)

    async def end(self) -> None:
        """Wait for those that are ending; what made them has ended already."""
        if self._running:
            _, unfinished = await asyncio.wait(
                [task for task, _ in self._running.values()], timeout=_PATIENCE_SECONDS
            )
            for task in unfinished:
                task.cancel()

    async def _make(self, draft: Draft, *, streamed: bool) -> None:
        keeper = (
            _Keeper(self._repository, draft.generation.caller.tenant, draft.facts.id) if streamed else None
        )
        try:
            async for events in self._answering.events(draft, None):
                if any(event["type"] == "response.in_progress" for event in events):
                    await self._started(draft.facts.id)
                if keeper is not None:
                    keeper.add(events)
                    if events[-1]["type"] in ENDS:
                        await keeper.finish()
        finally:
            if keeper is not None:
                keeper.close()

    async def _started(self, id: UUID) -> None:
        try:
            await self._repository.start(id)
        except LogUnavailable:
            _log.warning(
                "a response looks queued while it is made",
                event_key="start_untold",
                response_id=response_id(id),
            )


class _Keeper:
    """Keeps the events of one stream, some at a time."""

    def __init__(self, repository: ResponseRepository, caller: str, id: UUID) -> None:
        self._repository = repository
        self._caller = caller
        self._id = id
        self._waiting: list[Event] = []
        self._kept = asyncio.Event()
        self._flushing = asyncio.Lock()
        self._task = asyncio.create_task(self._flush_for_ever(), name="response events")

    def add(self, events: list[Event]) -> None:
        """Keep these with the next ones; an answer's size is their bound."""
        self._waiting += events
        self._kept.clear()

    async def finish(self) -> None:
        """Keep all that are waiting, or give up after a while."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._flush()
                await self._kept.wait()
        except TimeoutError:
            _log.error(
                "events of a response are lost", event_key="events_lost", response_id=response_id(self._id)
            )

    def close(self) -> None:
        """Keep no more."""
        self._task.cancel()

    async def _flush_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            await self._flush()

    async def _flush(self) -> None:
        async with self._flushing:
            if not self._waiting:
                return
            events = list(self._waiting)
            first, last = events[0]["sequence_number"], events[-1]["sequence_number"]
            text = b"[" + b",".join(map(encoded, events)) + b"]"
            with suppress(LogUnavailable):  # they stay, and are tried again
                await self._repository.add_events(self._caller, self._id, first, last, text)
                del self._waiting[: len(events)]
            if not self._waiting:
                self._kept.set()


class Following:
    """Finds responses, wherever they are made, and follows them."""

    def __init__(self, log: ExchangeRepository, repository: ResponseRepository) -> None:
        self._log = log
        self._repository = repository

    async def find(self, caller: str, id: UUID) -> Facts:
        """What is known of a response now.

        Raises:
            ResponseNotFound: this caller has stored no such response, or has deleted it.
        """
        if (facts := await self._recorded(caller, id)) is not None:
            return facts
        if (found := await self._repository.find_open(caller, id)) is not None:
            return found.facts
        # It may have ended between the two looks.
        if (facts := await self._recorded(caller, id)) is not None:
            return facts
        raise ResponseNotFound(param="response_id")

    async def _recorded(self, caller: str, id: UUID) -> Facts | None:
        try:
            exchange = await self._log.get(caller, id)
        except ExchangeNotFound:
            return None
        if exchange.endpoint != ENDPOINT or not exchange.stored:
            raise ResponseNotFound(param="response_id")
        return facts_of(exchange)

    async def events(self, caller: str, id: UUID, after: int, client: Client) -> AsyncGenerator[bytes, None]:
        """The events of a background stream after this sequence number, up to its end, as server-sent events.

        Raises:
            GatewayError: before the first event; later it is the last one.
        """
        begun, gone = False, asyncio.Event()

        def leave(_: GatewayError) -> None:
            gone.set()

        client.watch(leave)
        try:
            async for number, type, event in self._events(caller, id, after, gone):
                begun, after = True, number
                yield framed(type, event)
        except GatewayError as error:
            if not begun:
                raise
            told = {"type": "error", "sequence_number": after + 1}
            told |= {"code": error.code, "message": error.message, "param": error.param}
            yield framed("error", encoded(told))
        finally:
            client.unwatch(leave)

    async def _events(
        self, caller: str, id: UUID, after: int, gone: asyncio.Event
    ) -> AsyncGenerator[tuple[int, str, bytes], None]:
        while not gone.is_set():
            found = await self._repository.find_open(caller, id)
            events = await self._repository.events(caller, id, after)
            for event in events:
                kind = msgspec.json.decode(event, type=_Kind)
                after = kind.sequence_number
                yield after, kind.type, event
                if kind.type in ENDS:
                    return
            if events:
                continue
            if found is None or not found.alive:
                if (end := await self._missing_end(caller, id)) is not None and end[0] > after:
                    yield end
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await gone.wait()

    async def _missing_end(self, caller: str, id: UUID) -> tuple[int, str, bytes] | None:
        """The end of a stream whose maker could not write it any more; None where it is there."""
        last = await self._repository.last_event(caller, id)
        kind = msgspec.json.decode(last, type=_Kind) if last else _Kind("", -1)
        if kind.type in ENDS:
            return None
        facts, number = await self.find(caller, id), kind.sequence_number + 1
        event = {"type": last_type(facts), "sequence_number": number, "response": response(facts)}
        return number, last_type(facts), encoded(event)


class _Kind(msgspec.Struct):
    type: str
    sequence_number: int
