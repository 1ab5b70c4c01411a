"""What only the real vLLM shows: a KV cache that is full, a core that hangs, and panels of its own figures."""

import signal
import time
from contextlib import AbstractContextManager
from pathlib import Path

from tests.engine.engines import RealEngine
from tests.overload.stand import Stand, stand_before
from tests.seeing.causes import Parts, asked_by
from tests.seeing.dashboard import queries
from tests.seeing.prometheus import Prometheus, prometheus

_SMALL_CACHE = ("--num-gpu-blocks-override", "16", "--max-model-len", "1024")
"""2 048 tokens, in blocks of 128."""
_CLIENTS = 12
_RESTART_SECONDS = 400.0


def measure() -> str:
    """Fill its cache, ask what all panels ask, and freeze its core."""
    engine = RealEngine(None, *_SMALL_CACHE)
    try:
        with (
            stand_before(engine.url, ZEPHYR_ENGINE_CONCURRENCY=str(_CLIENTS)) as parts,
            prometheus(parts.gateway.admin_port) as seen,
        ):
            seen.wait_until_up()
            return "\n".join([_full(parts, seen), _hanging(parts, engine, seen)])
    finally:
        engine.close()


def _full(parts: Stand, seen: Prometheus) -> str:
    with _many(parts):
        fired = seen.seconds_until("ZephyrKvCacheFull", fires=True, limit=300)
        said = seen.summaries("ZephyrKvCacheFull")[0]
        usage, rate = (
            seen.value(one) for one in ("vllm:kv_cache_usage_perc", "rate(vllm:num_preemptions_total[10s])")
        )
        time.sleep(10)
        empty = [title for title, query in queries("30s") if not seen.query(query)]
    ended = seen.seconds_until("ZephyrKvCacheFull", fires=False, limit=300)
    return (
        f"ZephyrKvCacheFull: cache {usage}, {rate} preemptions a second; fired after {fired:.0f} s, ended after "
        f"{ended:.0f} s\n    said: {said}\n    panels without an answer: {sorted(set(empty))}"
    )


def _many(parts: Stand) -> AbstractContextManager[None]:
    asking = Parts(stand=parts, server=None, spool=Path())
    return asked_by(asking, _CLIENTS, "Tell me a story that does not end. " * 20, stream=True)


def _hanging(parts: Stand, engine: RealEngine, seen: Prometheus) -> str:
    engine.core().send_signal(signal.SIGSTOP)
    frozen = time.monotonic()
    seen.seconds_until("ZephyrEngineHangs", fires=True)
    fired, silent = time.monotonic() - frozen, seen.value("zephyr_engine_silent_seconds")
    said = seen.summaries("ZephyrEngineHangs")[0]
    answer = parts.gateway.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]})
    seen.seconds_until("ZephyrEngineHangs", fires=False, limit=_RESTART_SECONDS)
    while parts.gateway.get("/readyz").status != 200:
        if time.monotonic() - frozen > _RESTART_SECONDS:
            raise TimeoutError("the engine does not come back")
        time.sleep(0.2)
    back = time.monotonic() - frozen
    return (
        f"ZephyrEngineHangs: core frozen; fired after {fired:.0f} s (silent for {silent} s); a request got "
        f"{answer.status} {answer.error['code']}; restarted by the host and ready after {back:.0f} s\n    said: {said}"
    )
