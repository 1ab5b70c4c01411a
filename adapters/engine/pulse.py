"""Whether the engine works, which its `/health` does not say.

vLLM's server answers `/health` and `/metrics` from a process of its own, also while the engine core behind it hangs. So
the core is judged by what only it can bring about (decision 22).
"""

import asyncio
from contextlib import suppress

import msgspec
import uuid_utils

from adapters.engine.client import EngineClient
from adapters.errors import GatewayError
from adapters.settings import EngineSettings

CANARY = "canary-"
"""What the ids of our own questions begin with, so that they can be told apart in the engine's log."""
_PATH = "/v1/completions"
_OVERLOADED = 429
# Set by vLLM 0.32 from what its core reports, and from nothing else. The core reports after each step, also in the
# middle of a long prompt, whose tokens are counted only at its end; the part of the cache that is in use shows those.
_SET_BY_THE_CORE = (
    b"vllm:num_requests_running",
    b"vllm:num_requests_waiting",
    b"vllm:kv_cache_usage_perc",
    b"vllm:prompt_tokens_total",
    b"vllm:generation_tokens_total",
    b"vllm:iteration_tokens_total_count",
)


class Pulse:
    """Tells for how long the engine has shown no sign of work.

    A sign is a piece of any answer; where none has come for a while, a change of what the core itself reports; and where
    there is none of that either, the answer to a question of one token, a canary. At most one is asked at a time. It
    goes straight to the engine: it takes no client's place, and is no exchange.
    """

    def __init__(self, client: EngineClient, settings: EngineSettings) -> None:
        self._client = client
        self._settings = settings
        self._last_sign = 0.0
        self._reported: list[bytes] | None = None
        self._canary: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Count from now: an engine has come up."""
        self._sign()

    async def look(self, model: str) -> float:
        """Look for a sign, and return how many seconds ago the last one was."""
        self._last_sign = max(self._last_sign, self._client.last_piece_at)
        if self.silence < self._settings.engine_quiet_seconds:
            self._reported = None
            self._leave_off()
        elif await self._reports_anew():
            self._sign()
        elif self._canary is None or self._canary.done():
            self._canary = asyncio.create_task(self._ask(model), name="canary")
        return self.silence

    async def close(self) -> None:
        """Ask nothing any more."""
        if self._canary is not None:
            self._canary.cancel()
            await asyncio.gather(self._canary, return_exceptions=True)

    def _leave_off(self) -> None:
        if self._canary is not None:
            self._canary.cancel()
            self._canary = None

    def _sign(self) -> None:
        self._last_sign = asyncio.get_running_loop().time()

    @property
    def silence(self) -> float:
        """How many seconds ago the last sign was, as far as was looked."""
        return asyncio.get_running_loop().time() - self._last_sign

    async def _reports_anew(self) -> bool:
        """Whether what the core reports has changed since the last look in this silence."""
        with suppress(GatewayError):  # whether it can be reached is the watch's question
            status, page = await self._client.get("/metrics")
            if status == 200:
                earlier, self._reported = self._reported, reported(page)
                return earlier is not None and earlier != self._reported
        return False

    async def _ask(self, model: str) -> None:
        question = msgspec.json.encode({"model": model, "prompt": "Hi", "max_tokens": 1, "temperature": 0})
        name, patience = CANARY + uuid_utils.uuid7().hex, self._settings.engine_hang_seconds
        with suppress(GatewayError):  # no answer is no sign; the next look asks again
            status, answer = await self._client.ask(_PATH, question, name, timeout=patience)
            if self._says_something(status, answer):
                self._sign()

    def _says_something(self, status: int, body: bytes) -> bool:
        if status == 200:
            return not body.startswith(b'{"error"')
        # An engine that does not take the question cannot be judged by it, while nobody else waits for it either.
        refused = 400 <= status < 500 and status != _OVERLOADED
        return refused and not self._client.at_work


def reported(page: bytes) -> list[bytes]:
    """The lines of vLLM's `/metrics` that only its core changes."""
    return [
        line for line in page.split(b"\n") if line.partition(b"{")[0].partition(b" ")[0] in _SET_BY_THE_CORE
    ]
