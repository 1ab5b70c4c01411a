"""The one path of every generation: admit, open, relay, record, release (docs/architecture.md)."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from copy import copy
from typing import TypeVar
from uuid import UUID

import msgspec
import structlog

from adapters.access.admission import Admission
from adapters.access.client import Client
from adapters.completions import events
from adapters.completions.estimate import most_tokens, prompt_tokens
from adapters.completions.events import EventReader
from adapters.completions.generation import Completion, Generation
from adapters.completions.markers import Markers
from adapters.completions.requests import ChatRequest
from adapters.completions.run import ExchangeLog, Run
from adapters.completions.stream import CompletionStream
from adapters.engine.client import EngineClient, read_all
from adapters.engine.errors import EngineBroke, refusal, refusal_in_stream
from adapters.engine.watch import EngineWatch
from adapters.errors import GatewayError
from adapters.limits.quotas import Parts, Quota, Quotas, is_limited

_log = structlog.get_logger(__name__)
_encoder = msgspec.json.Encoder()
_Answer = TypeVar("_Answer")
_COUNTING_SECONDS = 30.0


class _Counted(msgspec.Struct):
    count: int


class Completions:
    """Makes generations. Both doors, and whatever comes later, ask here."""

    def __init__(
        self,
        *,
        engine: EngineClient,
        watch: EngineWatch,
        admission: Admission,
        log: ExchangeLog,
        quotas: Quotas,
        max_answer_bytes: int,
        assumed_tokens: int,
        tries: int,
    ) -> None:
        """`assumed_tokens` are reserved of a caller's limits for an answer of which nobody says how long it may get.

        The engine is asked up to `tries` times while nothing of its answer has been passed on (decision 25).
        """
        self._engine = engine
        self._watch = watch
        self._admission = admission
        self._log = log
        self._quotas = quotas
        self._shared: Parts | None = None
        self._assumed_tokens = assumed_tokens
        self._max_answer_bytes = max_answer_bytes
        self._tries = tries
        self._markers = Markers(None)
        self._markers_of: tuple[str, ...] | None = None

    def recording_to(self, log: ExchangeLog) -> "Completions":
        """The same path with another log, for an answer that is made of several generations."""
        path = copy(self)
        path._log = log
        return path

    @asynccontextmanager
    async def as_one(
        self, generations: Sequence[Generation], id: UUID, client: Client
    ) -> AsyncIterator["Completions"]:
        """The same path for generations that count as one request of their caller, with all their tokens.

        Raises:
            RateLimited: the caller's limits do not allow them.
        """
        if not generations or not is_limited(generations[0].caller):
            yield self
            return
        self._log.require_ready()
        tokens = sum(self._tokens(one, *self._for_engine(one, counted=True)) for one in generations)
        whole = await self._quotas.take(generations[0].caller, id, tokens)
        client.headers.update(whole.headers)
        path = copy(self)
        path._shared = Parts(whole)
        try:
            yield path
        finally:
            await path._shared.end()

    async def complete(self, generation: Generation, client: Client) -> Completion:
        """Make a whole answer. It is in the log when this returns.

        Raises:
            GatewayError: nothing was generated, or it broke; in the log as what it was, if it had a place.
        """
        run, body = await self._begin(generation, client)

        async def ask() -> tuple[bytes, events.Chunk]:
            answer = await read_all(await run.ask(body), self._max_answer_bytes)
            chunk = events.decode(answer)
            if chunk.error is not None:
                raise refusal_in_stream(answer)
            return answer, chunk

        try:
            answer, chunk = await self._answer(run, ask)
            run.transcript.add_chunk(chunk)
            if not run.transcript.complete(generation.request.n or 1):
                raise EngineBroke
            await run.finish()
        except GatewayError as error:
            await run.fail(error)
            raise
        finally:
            run.close()
        return Completion(
            id=generation.id,
            conversation_id=run.conversation_id,
            body=answer,
            text=run.transcript.text,
            finish_reason=run.transcript.finish_reason,
            usage=run.transcript.usage,
            model=run.model,
            prompt_text=run.transcript.prompt_text,
        )

    async def stream(
        self, generation: Generation, client: Client, *, usage: bool = False
    ) -> CompletionStream:
        """Begin a streamed answer, and return once its first event is there.

        vLLM reports many bad requests as HTTP 200 with an error event, which here is an error like any other.
        With `usage` the stream keeps the engine's event that counts tokens.

        Raises:
            GatewayError: the engine gave no answer; in the log as what it was, if it had a place.
        """
        run, body = await self._begin(generation, client)

        async def ask() -> CompletionStream:
            reader = EventReader(await run.ask(body))
            return CompletionStream(run, reader, await reader.next(), usage=usage)

        try:
            stream = await self._answer(run, ask)
            run.note_first_token()
        except GatewayError as error:
            await run.fail(error)
            run.close()
            raise
        except BaseException:
            run.close()
            raise
        return stream

    async def _answer(self, run: Run, ask: Callable[[], Awaitable[_Answer]]) -> _Answer:
        """Ask, and ask again where an engine breaks off before anything of its answer has been passed on."""
        for _ in range(self._tries - 1):
            try:
                return await ask()
            except EngineBroke:
                run.give_up_asking()
                name = run.generation.id.bytes.hex()
                _log.warning("the engine is asked again", event_key="engine_asked_again", request_id=name)
        return await ask()

    async def count_tokens(self, request: ChatRequest, id: UUID) -> int:
        """How many tokens the model would be given, its template's included.

        Raises:
            GatewayError: the engine cannot say.
        """
        model = self._watch.require_model(request.model)
        request.neutralise(self.markers)
        asked = request.for_engine(model)
        question = {"model": model, "messages": asked.messages, "add_generation_prompt": True}
        if asked.tools:
            question["tools"] = asked.tools
        status, answer = await self._engine.ask(
            "/tokenize", _encoder.encode(question), id.hex, timeout=_COUNTING_SECONDS
        )
        if status != 200:
            raise refusal(status, answer)
        try:
            return msgspec.json.decode(answer, type=_Counted).count
        except msgspec.MsgspecError:
            raise EngineBroke from None

    async def _begin(self, generation: Generation, client: Client) -> tuple[Run, bytes]:
        self._log.require_ready()
        caller = generation.caller
        limited = is_limited(caller)
        model, body = self._for_engine(generation, counted=limited)
        quota = await self._quota(generation, model, body, client) if limited else None
        try:
            slot = self._admission.enter(caller.tenant, caller.weight, prompt_tokens(len(body)))
        except GatewayError:
            if quota is not None:
                quota.settle(0, begun=False)
            raise
        run = Run(
            generation,
            model=model,
            slot=slot,
            client=client,
            engine=self._engine,
            log=self._log,
            max_answer_bytes=self._max_answer_bytes,
            quota=quota,
        )
        return run, body

    def _for_engine(self, generation: Generation, *, counted: bool) -> tuple[str, bytes]:
        """The model, and what the engine is asked."""
        model = self._watch.require_model(generation.request.model)
        if generation.may_hold_markers:
            generation.request.neutralise(self.markers)
        return model, _encoder.encode(generation.request.for_engine(model, counted=counted))

    async def _quota(self, generation: Generation, model: str, body: bytes, client: Client) -> Quota:
        if self._shared is not None:
            return self._shared
        tokens = self._tokens(generation, model, body)
        quota = await self._quotas.take(generation.caller, generation.id, tokens)
        client.headers.update(quota.headers)
        return quota

    def _tokens(self, generation: Generation, model: str, body: bytes) -> int:
        context = self._watch.context(model)
        return most_tokens(generation.request, len(body), assumed=self._assumed_tokens, context=context)

    @property
    def markers(self) -> Markers:
        """The markers of the model that is served now."""
        known = self._watch.state.markers
        if known is not self._markers_of:
            self._markers, self._markers_of = Markers(known), known
        return self._markers
