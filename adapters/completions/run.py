"""One generation at work: its place, its connection, what has come of it, and its record."""

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

import structlog

from adapters.access.admission import Slot
from adapters.access.client import Client, ClientGone
from adapters.completions.estimate import allowed_tokens
from adapters.completions.generation import Generation
from adapters.completions.shares import session, with_share
from adapters.completions.spans import Spans
from adapters.completions.transcript import Transcript
from adapters.conversations.errors import ExchangeRefused, LogUnavailable
from adapters.conversations.exchange import Exchange, Outcome
from adapters.engine.client import EngineClient, read_all
from adapters.engine.connection import Connection
from adapters.engine.errors import refusal
from adapters.errors import Cancelled, GatewayError, ShuttingDown
from adapters.limits.quotas import Quota
from adapters.observability import requests

_log = structlog.get_logger(__name__)
_LARGEST_REFUSAL_BYTES = 64 * 1024


class ExchangeLog(Protocol):
    """Where a run is recorded: the log's writer, or whoever makes one exchange of several runs."""

    def require_ready(self) -> None:
        """Raise where nothing could be recorded now."""

    def commit(self, exchange: Exchange) -> asyncio.Future[None]:
        """Record; the future's result comes when it is durable."""


class Run:
    """From the place that admission gave to the record in the log. Ends with `close`, whatever happened."""

    def __init__(
        self,
        generation: Generation,
        *,
        model: str,
        slot: Slot,
        client: Client,
        engine: EngineClient,
        log: ExchangeLog,
        max_answer_bytes: int,
        quota: Quota | None = None,
    ) -> None:
        """`quota` is what it has taken of its caller's limits, if there are any."""
        self.generation = generation
        self.quota = quota
        self.model = model
        self.transcript = Transcript(max_answer_bytes)
        self._slot = slot
        self._client = client
        self._engine = engine
        self._log = log
        self._spans = Spans(generation, model)
        self._connection: Connection | None = None
        self._asked = False
        self._began = time.monotonic()
        self._started_at = datetime.now(UTC)
        self._first_token_ms: float | None = None
        self._refused = False
        self._recorded = False
        request, allowed = generation.request, allowed_tokens(generation.request)
        most = None if allowed is None else allowed * (request.n or 1)
        slot.count(self.transcript.tokens_so_far if request.stream else None, most)
        client.watch(slot.stop)

    @property
    def conversation_id(self) -> UUID:
        """The conversation that this exchange is part of; a first one gives its own id to it."""
        return self.generation.conversation_id or self.generation.id

    async def ask(self, body: bytes) -> Connection:
        """Send the request to the engine when it is its turn, and wait for its status.

        Raises:
            GatewayError: the engine refused, cannot be reached, broke off, or the run was stopped.
        """
        generation, slot = self.generation, self._slot
        self._refused = False
        if slot.waits:
            self._spans.queued()
            await slot.turn(self._client.tell_place)
            self._client.note_wait(self._elapsed_ms())
        tenant = generation.caller.tenant
        connection = await self._engine.post(
            generation.path,
            with_share(body, tenant, slot.priority),
            generation.id.bytes.hex(),
            self._opened,
            session(tenant, generation.request),
            self._spans.asked(),
        )
        if connection.status != 200:
            self._refused = True
            raise refusal(connection.status, await read_all(connection, _LARGEST_REFUSAL_BYTES))
        return connection

    def _opened(self, connection: Connection) -> None:
        self._connection, self._asked = connection, True
        self._slot.on_stop(connection.stop)

    def give_up_asking(self) -> None:
        """Leave the engine as it is, so that it can be asked again."""
        if self._connection is not None:
            self._engine.release(self._connection)
            self._connection = None

    def note_first_token(self) -> None:
        """Remember when the answer began."""
        self._first_token_ms = self._elapsed_ms()
        self._spans.first_token()

    async def finish(self) -> None:
        """Record a whole answer, and return when it is durable.

        Raises:
            LogUnavailable: it could not be made durable in time.
        """
        length = self.transcript.finish_reason == "length"
        self._recorded = True
        self._settle()
        await self._commit(Outcome.LENGTH if length else Outcome.COMPLETED)
        if self.quota is not None:
            await self.quota.counted()

    async def fail(self, error: GatewayError) -> None:
        """Record what came before the error, and return when it is durable or known not to become so."""
        if self._recorded:
            return
        self._recorded = True
        # Where the record fails too, the writer has logged it, and the client is told of an error anyway.
        with suppress(LogUnavailable, ExchangeRefused):
            durable = self._commit_broken(error)
            if not isinstance(error, ClientGone):
                await durable
                if self.quota is not None:
                    await self.quota.counted()

    def close(self) -> None:
        """Give everything back. A run that nobody ended is recorded as broken off, by whom it was."""
        self._client.unwatch(self._slot.stop)
        self._leave()
        self.give_up_asking()
        if not self._recorded:
            self._recorded = True
            with suppress(LogUnavailable, ExchangeRefused):
                self._commit_broken(_interruption())
        self._spans.close()

    def _leave(self) -> None:
        """Free the place, at the engine's own count of tokens where there is one."""
        usage = self.transcript.usage
        if usage is not None:
            self._slot.leave(usage.prompt_tokens, usage.completion_tokens or 0)
        elif self._refused or not self._asked:
            self._slot.leave(0, 0)
        else:
            self._slot.leave()

    def _commit_broken(self, error: GatewayError) -> asyncio.Future[None]:
        with suppress(GatewayError):  # the rest of an answer may be unreadable; what was read before stands
            self.transcript.read()
        self._settle(error)
        durable = self._commit(outcome_of(error), error)
        durable.add_done_callback(_look_at)
        return durable

    def _commit(self, outcome: Outcome, error: GatewayError | None = None) -> asyncio.Future[None]:
        exchange = self._exchange(outcome, error)
        self._tell(exchange)
        durable = self._log.commit(exchange)
        self._spans.recording(exchange, durable)
        return durable

    def _tell(self, exchange: Exchange) -> None:
        """Say in the log what came of it: with the request's own line, or where the request is more than this."""
        request, name = requests.current(), exchange.id.bytes.hex()
        if request is not None and request.name == name:
            request.outcome = exchange.outcome.value
        else:
            _log.info("generation", event_key="generation", generation=name, outcome=exchange.outcome.value)

    def _settle(self, error: GatewayError | None = None) -> None:
        """Have the tokens counted that the engine says were used.

        Of a plain answer that its client broke off the engine tells nothing: then what was reserved counts.
        """
        if self.quota is None:
            return
        usage = self.transcript.usage
        if usage is not None:
            self.quota.settle(usage.prompt_tokens + (usage.completion_tokens or 0))
        elif self._asked and isinstance(error, None | ClientGone | Cancelled):
            self.quota.settle(None)
        else:
            self.quota.settle(0, begun=self._asked)

    def _elapsed_ms(self) -> float:
        return (time.monotonic() - self._began) * 1000

    def _exchange(self, outcome: Outcome, error: GatewayError | None = None) -> Exchange:
        generation, transcript = self.generation, self.transcript
        usage = transcript.usage
        details = usage.prompt_tokens_details if usage else None
        followed, message = generation.followed, transcript.message
        return Exchange(
            id=generation.id,
            conversation_id=self.conversation_id,
            parent_id=generation.parent_id,
            caller=generation.caller.tenant,
            door=generation.door,
            endpoint=generation.endpoint,
            model=self.model,
            fingerprint=transcript.fingerprint,
            input=generation.input,
            parameters=generation.parameters,
            answer=transcript.answer(),
            finish_reason=transcript.finish_reason,
            outcome=outcome,
            error=error.detail() if error else None,
            prompt_tokens=usage.prompt_tokens if usage else None,
            cached_tokens=details.cached_tokens if details else None,
            completion_tokens=usage.completion_tokens if usage else None,
            started_at=self._started_at,
            first_token_ms=self._first_token_ms,
            total_ms=self._elapsed_ms(),
            metadata=generation.metadata,
            transcript_hash=followed.transcribed.with_answer(message) if followed and message else None,
            stored=bool(generation.request.store),
            follows=followed.follows if followed and generation.parent_id is None else None,
            earlier=generation.earlier,
        )


def _look_at(durable: asyncio.Future[None]) -> None:
    """Take note of a failure that nobody waits for; the writer has logged it."""
    if not durable.cancelled():
        durable.exception()


def _interruption() -> GatewayError:
    """Why a run stops in the middle without an error of its own: the server was made to hurry, or crashed."""
    task = asyncio.current_task()
    return ShuttingDown() if task and task.cancelling() else GatewayError("The gateway broke off the answer.")


def outcome_of(error: GatewayError) -> Outcome:
    """How an exchange that this error ended is recorded."""
    if isinstance(error, ClientGone):
        return Outcome.CLIENT_GONE
    return Outcome.CANCELLED if isinstance(error, Cancelled | ShuttingDown) else Outcome.FAILED
