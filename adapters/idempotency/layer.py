"""The layer in front of the generating endpoints: a repeated request joins the first, or gets its answer again."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send
from uuid_utils.compat import uuid7

from adapters.access.body import read_body
from adapters.access.callers import KeyScope, permitted
from adapters.access.gate import request_id
from adapters.conversations.claims import Claim, Claims
from adapters.conversations.errors import LogUnavailable
from adapters.conversations.kept import KeptAnswer
from adapters.conversations.writer import ExchangeWriter
from adapters.errors import Cancelled, GatewayError, ShuttingDown
from adapters.idempotency.answer import Answer, decode, encode
from adapters.idempotency.asked import fingerprint_of, key_of
from adapters.idempotency.errors import HEADER, KeyReused, NotRunning, StillRunning
from adapters.idempotency.recording import Recording
from adapters.settings import Settings

_log = structlog.get_logger(__name__)
_SWEEP_SECONDS = 3600.0
_ENDING_SECONDS = 2.0  # when generations have ended already, for what they leave to be done


@dataclass(eq=False, slots=True)
class _Attempt:
    """One making of an answer in this process."""

    claim: Claim
    recording: Recording
    held: bool = False
    """Whether the claim is in the database, so that other gateways know of it."""
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it is known that this request may have its key."""
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Idempotency:
    """Takes requests with an `Idempotency-Key`, as https://docs.stripe.com/api/idempotent_requests describes it.

    All others go on to the application at once.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        generates: Callable[[str], bool],
        claims: Claims,
        log: ExchangeWriter,
        settings: Settings,
    ) -> None:
        """`generates` tells whether a POST to this path is for the layer."""
        self._app = app
        self._generates = generates
        self._claims = claims
        self._log = log
        self._settings = settings
        self._attempts: dict[tuple[str, str], _Attempt] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._keeping: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; errors before the first byte are raised."""
        takes = (
            scope["type"] == "http"
            and scope["method"] in ("POST", "DELETE")
            and self._generates(scope["path"])
        )
        key = key_of(scope) if takes else None
        if key is None:
            await self._app(scope, receive, send)
            return
        tenant = permitted(scope, KeyScope.GENERATE).tenant
        if scope["method"] == "DELETE":
            self._stop(tenant, key)
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        body = await read_body(receive, self._settings.server)
        fingerprint = fingerprint_of(scope, body)
        attempt = await self._running(tenant, key, fingerprint)
        joined = attempt is not None
        if attempt is None:
            claim = Claim(
                caller=tenant,
                key=key,
                fingerprint=fingerprint,
                exchange_id=request_id(scope),
                holder=uuid7(),
            )
            attempt = self._begin(claim, scope, body)
        await attempt.recording.follow(receive, send, joined=joined)

    def start(self) -> None:
        """Start looking after the claims."""
        self._keeping = asyncio.create_task(self._look_after_claims(), name="idempotency claims")
        self._keeping.add_done_callback(_died)

    async def close(self) -> None:
        """Let what is ending end, and break off the rest. Clients that are still there are told."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_ENDING_SECONDS)
        tasks = [*self._tasks, *([self._keeping] if self._keeping else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._claims.close()

    def _stop(self, tenant: str, key: str) -> None:
        """End the generation of this key now, as if nobody had listened for long enough.

        Raises:
            NotRunning: this gateway makes no answer for the key.
        """
        attempt = self._attempts.get((tenant, key))
        if attempt is None or attempt.recording.ended:
            raise NotRunning(param=HEADER)
        attempt.recording.fail(Cancelled())  # those who still follow; without it their stream would just end
        attempt.recording.abandon()

    async def _running(self, tenant: str, key: str, fingerprint: UUID) -> _Attempt | None:
        """The attempt that this request is to follow, if one is running.

        Raises:
            KeyReused: one is running for another request.
        """
        while (attempt := self._attempts.get((tenant, key))) is not None:
            if not attempt.recording.open:
                await attempt.over.wait()  # it leads to nothing, and is gone in a moment
            elif attempt.claim.fingerprint == fingerprint:
                return attempt
            elif attempt.settled.is_set():
                raise KeyReused(param=HEADER)
            else:
                await attempt.settled.wait()
        return None

    def _begin(self, claim: Claim, scope: Scope, body: bytes) -> _Attempt:
        async def keep(answer: Answer) -> None:
            await self._log.commit(self._kept(claim, answer))

        recording = Recording(
            body,
            keep=keep,
            grace=self._settings.idempotency.idempotency_grace,
            most_bytes=self._settings.engine.max_answer_bytes,
        )
        attempt = self._attempts[claim.caller, claim.key] = _Attempt(claim, recording)
        # A task of its own, because it goes on where the client that it began for has left.
        task = asyncio.create_task(self._run(attempt, scope), name="idempotent request")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return attempt

    def _kept(self, claim: Claim, answer: Answer) -> KeptAnswer:
        kept_for = timedelta(seconds=self._settings.idempotency.idempotency_kept)
        return KeptAnswer(
            caller=claim.caller,
            key=claim.key,
            fingerprint=claim.fingerprint,
            exchange_id=claim.exchange_id,
            holder=claim.holder,
            expires_at=datetime.now(UTC) + kept_for,
            answer=encode(answer),
        )

    async def _run(self, attempt: _Attempt, scope: Scope) -> None:
        try:
            await self._answer(attempt, scope)
        finally:
            attempt.recording.fail(ShuttingDown())  # where it was cancelled; otherwise it has ended
            attempt.settled.set()
            try:
                await self._let_go(attempt)
            finally:
                del self._attempts[attempt.claim.caller, attempt.claim.key]
                attempt.over.set()

    async def _answer(self, attempt: _Attempt, scope: Scope) -> None:
        recording = attempt.recording
        try:
            found = await self._find_or_claim(attempt)
            attempt.settled.set()
            if found is not None:
                recording.replay(found)
            else:
                await self._app(scope, recording.receive, recording.send)
                recording.fail(GatewayError("The gateway broke off the answer."))  # if that was no whole one
        except GatewayError as error:
            recording.fail(error)
        except Exception as error:  # noqa: BLE001  # clients wait for an answer; the text may quote one
            _log.error("a request crashed", event_key="crash", error=type(error).__name__)
            recording.fail(GatewayError("Something went wrong in the gateway."))

    async def _find_or_claim(self, attempt: _Attempt) -> Answer | None:
        """The answer, if it was made already; otherwise it is for this attempt to make it.

        While the database is away no other gateway can be asked: then what this process and its spool know must do.

        Raises:
            KeyReused: the key belongs to another request.
            StillRunning: another gateway is making the answer.
        """
        claim = attempt.claim
        found = await self._claims.spooled(claim.caller, claim.key)
        if found is None:
            try:
                found = await self._claims.take(claim)
            except LogUnavailable:
                return None
            attempt.held = found is None
        if found is None:
            return None
        if found.fingerprint != claim.fingerprint:
            raise KeyReused(param=HEADER)
        if found.answer is None:
            raise StillRunning(found.seconds)
        return decode(found.answer)

    async def _let_go(self, attempt: _Attempt) -> None:
        if attempt.held and not attempt.recording.kept:
            with suppress(LogUnavailable):  # then the claim ends with its lease
                await self._claims.release(attempt.claim)

    async def _look_after_claims(self) -> None:
        """Renew the leases of what is being made, and now and then delete what has expired."""
        swept_at = -_SWEEP_SECONDS
        while True:
            with suppress(
                LogUnavailable
            ):  # the link says so; what is not renewed may be taken by another gateway
                if held := [one.claim for one in self._attempts.values() if one.held]:
                    await self._claims.renew(held)
                if time.monotonic() - swept_at > _SWEEP_SECONDS:
                    await self._claims.delete_expired()
                    swept_at = time.monotonic()
            await asyncio.sleep(self._settings.idempotency.idempotency_lease / 3)


def _died(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        _log.critical(
            "claims are not renewed any more; other gateways may take them",
            event_key="idempotency_claims_died",
            error=type(task.exception()).__name__,
        )
