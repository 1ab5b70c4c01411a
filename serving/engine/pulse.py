"""Whether an engine works, which its `/health` does not say: see decision 22.

The gateway does the same for itself, and only stops asking; the host restarts. The two never import each other.
"""

import asyncio
import math
import time

from serving.readiness import NoAnswer, ask

LOOK_SECONDS = 2.0
QUIET_SECONDS = 10.0  # without a sign, before the engine is asked for one
# Set by vLLM 0.32 from what its core reports after each step, and from nothing else.
SET_BY_THE_CORE = (
    b"vllm:num_requests_running",
    b"vllm:num_requests_waiting",
    b"vllm:kv_cache_usage_perc",
    b"vllm:prompt_tokens_total",
    b"vllm:generation_tokens_total",
    b"vllm:iteration_tokens_total_count",
)
_OPEN = (b"vllm:num_requests_running", b"vllm:num_requests_waiting")


class Pulse:
    """Looks for signs of work of one engine: what its core reports changes, or a question of one token is answered."""

    def __init__(self, url: str, model: str, patience: float) -> None:
        """`patience` is in seconds."""
        self._url = url
        self._model = model
        self._patience = patience
        self._last_sign = time.monotonic()
        self._reported: list[bytes] = []

    async def until_hung(self) -> str:
        """Return, in words, once there was no sign for longer than the patience."""
        canary: asyncio.Task[None] | None = None
        self._last_sign = time.monotonic()
        while (silence := time.monotonic() - self._last_sign) < self._patience:
            await self._look()
            quiet = silence >= min(QUIET_SECONDS, self._patience / 2)
            if quiet and (canary is None or canary.done()):
                canary = asyncio.create_task(self._ask())
            await asyncio.sleep(min(LOOK_SECONDS, self._patience / 4))
        return f"says it is well and has not worked for {silence:.0f} s"

    async def _look(self) -> None:
        try:
            page = (await asyncio.to_thread(ask, self._url, "/metrics")).body
        except NoAnswer:
            return
        earlier, self._reported = self._reported, reported(page)
        if self._reported != earlier:
            self._last_sign = time.monotonic()

    async def _ask(self) -> None:
        question = {"model": self._model, "prompt": "Hi", "max_tokens": 1, "temperature": 0}
        try:
            answer = await asyncio.to_thread(
                ask, self._url, "/v1/completions", question, timeout=self._patience
            )
        except NoAnswer:
            return
        if answer.status == 200:
            self._last_sign = time.monotonic()


def reported(page: bytes) -> list[bytes]:
    """The lines of vLLM's `/metrics` that only its core changes."""
    return [
        line for line in page.split(b"\n") if line.partition(b"{")[0].partition(b" ")[0] in SET_BY_THE_CORE
    ]


def requests_open(page: bytes) -> float:
    """How many requests vLLM's `/metrics` says are running or waiting; NaN where it does not say."""
    open_ones = [line for line in reported(page) if line.startswith(_OPEN)]
    return sum(float(line.rpartition(b" ")[2]) for line in open_ones) if open_ones else math.nan
