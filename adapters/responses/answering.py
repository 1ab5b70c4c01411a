"""Responses are made here, on the one path of every generation: whole, or event by event."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

import msgspec

from adapters.access.client import Client, ClientGone
from adapters.completions import events as engine_events
from adapters.completions.generation import Generation
from adapters.completions.relay import Completions
from adapters.completions.run import ExchangeLog
from adapters.completions.stream import CompletionStream
from adapters.conversations.exchange import ANSWERED, Exchange, Outcome
from adapters.errors import GatewayError
from adapters.responses.errors import LeaseLost
from adapters.responses.events import Event, Narrator
from adapters.responses.holds import Hold, Holds
from adapters.responses.requests import in_own_words
from adapters.responses.response import Facts, facts_of


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A response that is to be made."""

    generation: Generation
    facts: Facts
    hold: Hold | None = None


class Answering:
    """Makes responses."""

    def __init__(self, completions: Completions, log: ExchangeLog, holds: Holds) -> None:
        self._completions = completions
        self._log = log
        self._holds = holds
        self._tasks: set[asyncio.Task[None]] = set()

    async def end(self) -> None:
        """Wait for what is being let go."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def whole(self, draft: Draft, client: Client) -> Facts:
        """Make a response. It is in the log when this returns.

        Raises:
            GatewayError: nothing came, or it broke.
        """
        record = _Record(self._log, draft.hold)
        try:
            with in_own_words():
                path = self._completions.recording_to(record)
                await path.complete(draft.generation, _stoppable(draft, client))
        finally:
            await self._let_go(draft, record)
        assert record.exchange is not None
        return facts_of(record.exchange)

    async def events(self, draft: Draft, client: Client | None) -> AsyncGenerator[list[Event], None]:
        """Make a response and tell of it as it comes, some events at a time; the last when it is in the log.

        Without a client, in the background, the first events come at once, and the last ones tell whatever went wrong.

        Raises:
            GatewayError: before the first event: nothing came of it. Later: there is nobody to tell any more.
        """
        record, narrator = _Record(self._log, draft.hold), Narrator(draft.facts)
        failure: GatewayError | None = None
        try:
            if client is None:
                yield list(narrator.created(draft.facts))
            with in_own_words():
                path = self._completions.recording_to(record)
                stream = await path.stream(draft.generation, _stoppable(draft, client))
            begun = msgspec.structs.replace(draft.facts, model=stream.run.model, status="in_progress")
            yield [*(narrator.created(begun) if client else ()), *narrator.in_progress(begun)]
            async with aclosing(_told(narrator, stream)) as told:
                async for events in told:
                    yield events
            failure = stream.error
        except GatewayError as error:
            failure = error
            if client is not None:
                await self._let_go(draft, record)
                raise
        except BaseException:
            self._let_go_soon(draft, record)
            raise
        last = _last(draft, narrator, record, failure)
        if client is None:
            yield last  # whoever follows must find them before the response is no more open
            await self._let_go(draft, record, failure)
            return
        await self._let_go(draft, record)  # so that its reader can go on with the conversation at once
        if isinstance(failure, ClientGone):
            raise failure
        yield last

    async def _let_go(self, draft: Draft, record: "_Record", failure: GatewayError | None = None) -> None:
        if draft.hold is not None:
            await asyncio.shield(self._let_go_soon(draft, record, failure))

    def _let_go_soon(
        self, draft: Draft, record: "_Record", failure: GatewayError | None = None
    ) -> "asyncio.Task[None]":
        """In a task of its own, which does not end with whoever asked."""
        task = asyncio.create_task(self._let_go_of(draft.hold, record, failure), name="letting go")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _let_go_of(self, hold: Hold | None, record: "_Record", failure: GatewayError | None) -> None:
        if hold is None:
            return
        if record.durable is not None:
            await asyncio.wait([record.durable])
            await self._holds.close(hold)
        elif hold.background:
            await self._holds.fail(hold, failure or GatewayError("The gateway broke off the answer."))
        else:
            await self._holds.drop(hold)


class _Record:
    """Keeps the exchange that a response becomes, on its way into the log."""

    def __init__(self, log: ExchangeLog, hold: Hold | None) -> None:
        self._log = log
        self._hold = hold
        self.exchange: Exchange | None = None
        self.durable: asyncio.Future[None] | None = None

    def require_ready(self) -> None:
        """As the log."""
        self._log.require_ready()

    def commit(self, exchange: Exchange) -> asyncio.Future[None]:
        """Record what came. Where another may have taken over meanwhile, an answer does not count."""
        if self._hold is not None and self._hold.lost and exchange.outcome in ANSWERED:
            exchange = msgspec.structs.replace(exchange, outcome=Outcome.FAILED, error=LeaseLost().detail())
        self.exchange = exchange
        self.durable = self._log.commit(exchange)
        return self.durable


class _Stoppable(Client):
    """Whoever waits for a response, and its hold: either may end it."""

    def __init__(self, client: Client | None, hold: Hold) -> None:
        self.headers = client.headers if client else {}
        self._client = client
        self._stops: set[Callable[[GatewayError], None]] = set()
        self._stopped_by: GatewayError | None = None
        self.tell_place = client.tell_place if client else None
        hold.stop = self._stop

    def note_wait(self, milliseconds: float) -> None:
        """Have the client know."""
        if self._client is not None:
            self._client.note_wait(milliseconds)

    def watch(self, stop: Callable[[GatewayError], None]) -> None:
        """Have `stop` called when either ends it."""
        if self._stopped_by is not None:
            stop(self._stopped_by)
            return
        self._stops.add(stop)
        if self._client is not None:
            self._client.watch(stop)

    def unwatch(self, stop: Callable[[GatewayError], None]) -> None:
        """Do not call `stop` any more."""
        self._stops.discard(stop)
        if self._client is not None:
            self._client.unwatch(stop)

    def _stop(self, error: GatewayError) -> None:
        self._stopped_by = self._stopped_by or error
        for stop in list(self._stops):
            stop(error)


def _stoppable(draft: Draft, client: Client | None) -> Client:
    if draft.hold is not None:
        return _Stoppable(client, draft.hold)
    assert client is not None
    return client


async def _told(narrator: Narrator, stream: CompletionStream) -> AsyncGenerator[list[Event], None]:
    """What the engine's stream says. It is closed at the end, whatever happened."""
    try:
        async for piece in stream:
            if stream.error is not None:
                continue  # this piece tells of it in the words of another API
            try:
                events = [event for chunk in engine_events.chunks(piece) for event in narrator.tell(chunk)]
            except GatewayError as error:  # the engine wrote what vLLM does not
                stream.error = error
                await stream.run.fail(error)
                return
            if events:
                yield events
    finally:
        await stream.close()


def _last(draft: Draft, narrator: Narrator, record: _Record, failure: GatewayError | None) -> list[Event]:
    if failure is not None and record.exchange is not None and record.exchange.outcome in ANSWERED:
        return list(narrator.error(failure))  # it was whole, and could not be recorded
    if record.exchange is not None:
        return list(narrator.end(facts_of(record.exchange)))
    error = (failure or GatewayError("The gateway broke off the answer.")).detail()
    return list(narrator.end(msgspec.structs.replace(draft.facts, status="failed", error=error)))
