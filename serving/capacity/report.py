"""A plan as a person reads it, and as a program does."""

import shlex
from collections.abc import Iterator
from typing import Any

from serving.capacity.memory import BLOCK, GIB, WIDTH
from serving.capacity.planning import Plan
from serving.engine.profile import GPU_MEMORY_UTILIZATION

# What the gateway takes unless told otherwise; more open requests need more of it.
GATEWAY_BOUNDS = {"ZEPHYR_MAX_OPEN_GENERATIONS": 1024, "ZEPHYR_MAX_CONNECTIONS": 4096}


def text(plan: Plan, model: str) -> Iterator[str]:
    """The lines of it. `model` is as it was asked for."""
    yield f"{plan.shape.name} on {plan.gpu} ({plan.gpu_bytes / GIB:.1f} GiB)"
    yield from _memory(plan)
    yield from _bounds(plan)
    yield from _load(plan)
    yield "\nSettings"
    yield from (f"  {who:<12}{_assigned(values)}" for who, values in settings(plan, model).items())
    yield f"  {'start':<12}{start(plan)}"


def as_json(plan: Plan, model: str) -> dict[str, Any]:
    """The same. Bytes, tokens and seconds are in the names."""
    memory, bounds, load = plan.memory, plan.bounds, plan.load
    return {
        "model": plan.shape.name,
        "parameters": plan.shape.parameters,
        "gpu": plan.gpu,
        "gpu_memory_bytes": plan.gpu_bytes,
        "gpu_memory_utilization": GPU_MEMORY_UTILIZATION,
        "load": {
            "prompt_tokens": load.prompt,
            "answer_tokens": load.answer,
            "users": load.users,
            "requests_per_second": load.requests,
        },
        "gpus_per_engine": plan.gpus,
        "engines": plan.engines,
        "gpus": plan.gpus * plan.engines,
        "each_gpu": {
            "weights_bytes": memory.weights,
            "assumed_working_bytes": memory.working,
            "kv_cache_bytes": memory.cache,
            "kv_cache_bytes_per_token": memory.token,
        },
        "each_engine": {
            "kv_cache_tokens": memory.tokens,
            "sequences_at_once": plan.most_at_once,
            "of_the_load_at_once": plan.at_once,
        },
        "bounds_of_each_engine": bounds
        and {
            "decode_tokens_per_second_alone": bounds.decode(1, plan.middle),
            "decode_tokens_per_second": bounds.decode(plan.at_once, plan.middle),
            "prefill_tokens_per_second": bounds.prefill,
            "first_token_seconds": bounds.first_token_seconds(load.prompt),
        },
        "planned": {
            "assumed_share_of_bounds": plan.share,
            "requests_per_second": plan.requests,
            "answer_tokens_per_second": plan.requests and plan.requests * load.answer,
            "seconds_per_request": plan.open_seconds,
        },
        "settings": settings(plan, model),
        "start": start(plan),
    }


def settings(plan: Plan, model: str) -> dict[str, dict[str, str]]:
    """What is set for whom: `everything` of one `zephyr up`, or the host of each engine and the gateway."""
    usual, spare = plan.places
    engine = {"ZEPHYR_MODEL": model} | _places(usual, spare)
    if plan.longest < plan.shape.context:
        engine["ZEPHYR_ENGINE_MAX_MODEL_LEN"] = str(plan.longest)
    if plan.gpus > 1:
        engine["ZEPHYR_ENGINE_EXTRA_ARGS"] = f"--tensor-parallel-size {plan.gpus}"
    open_at_once = plan.at_once * plan.engines
    gateway = {name: str(open_at_once) for name, most in GATEWAY_BOUNDS.items() if open_at_once > most}
    if plan.engines == 1:
        return {"everything": engine | gateway}
    return {
        "each engine": engine,
        "the gateway": _places(usual * plan.engines, spare * plan.engines) | gateway,
    }


def start(plan: Plan) -> str:
    """How the engines are started."""
    if plan.engines == 1:
        return "zephyr up"
    if plan.gpus == 1:
        return f"zephyr up --replicas {plan.engines}, on one machine; on several: docs/scaling.md"
    return f"zephyr engine {plan.engines} times, with {plan.gpus} GPUs each, behind a router: docs/scaling.md"


def _places(usual: int, spare: int) -> dict[str, str]:
    return {"ZEPHYR_ENGINE_CONCURRENCY": str(usual), "ZEPHYR_ENGINE_SPARE": str(spare)}


def _assigned(values: dict[str, str]) -> str:
    return " ".join(f"{name}={shlex.quote(value)}" for name, value in values.items())


def _memory(plan: Plan) -> Iterator[str]:
    memory, gpus = plan.memory, plan.gpus
    shared = f", on {_gpus(gpus)}" if gpus > 1 else ""
    yield f"\nMemory of each GPU ({gpus} for an engine)"
    yield _row("vLLM may use", _gib(memory.usable), f"--gpu-memory-utilization {GPU_MEMORY_UTILIZATION}")
    yield _row(
        "weights", _gib(memory.weights), f"{plan.shape.parameters:,} parameters of {WIDTH} bytes{shared}"
    )
    yield _row("working", _gib(memory.working), "assumed: activations, CUDA graphs, libraries")
    yield _row("KV cache", _gib(memory.cache), f"{memory.tokens:,} tokens of {memory.token:,} bytes")
    length = plan.load.length
    yield _row("sequences", f"{plan.most_at_once:,}", f"of {length:,} tokens, in blocks of {BLOCK}")


def _bounds(plan: Plan) -> Iterator[str]:
    bounds = plan.bounds
    if bounds is None:
        yield "\nNo bounds: of this GPU only the memory is known (give --gpu)"
        return
    alone, together = (bounds.decode(number, plan.middle) for number in (1, plan.at_once))
    first = bounds.first_token_seconds(plan.load.prompt) * 1000
    yield "\nBounds of an engine by its data sheet, which none reaches: no promises"
    yield _row("decode", f"{alone:,.0f}", "tokens/s for one alone")
    each = together / plan.at_once
    yield _row("", f"{together:,.0f}", f"tokens/s for {plan.at_once:,} at once, {each:,.0f} each")
    yield _row(
        "prefill",
        f"{bounds.prefill:,.0f}",
        f"tokens/s; first token of {plan.load.prompt:,} after {first:,.0f} ms",
    )


def _load(plan: Plan) -> Iterator[str]:
    load = plan.load
    asked = "one engine, as full as it is set to be"
    if load.users is not None:
        asked = f"{load.users:,} requests at once"
    elif load.requests is not None:
        asked = f"{load.requests:g} requests/s"
    yield f"\n{asked[0].upper()}{asked[1:]}, prompts of {load.prompt:,} tokens, answers of {load.answer:,}"
    yield _row("engines", f"{plan.engines:,}", f"on {_gpus(plan.engines * plan.gpus)}")
    yield _row("at once", f"{plan.at_once:,}", "at each engine")
    if plan.requests is not None and plan.open_seconds is not None:
        tokens = plan.requests * load.answer
        yield _row(
            "planned with",
            f"{plan.requests:,.1f}",
            f"requests/s, {tokens:,.0f} tokens/s, {plan.open_seconds:,.1f} s each: {plan.share:g} of the bounds, assumed",
        )


def _row(name: str, figure: str, meaning: str) -> str:
    return f"  {name:<12}{figure:>10}  {meaning}".rstrip()


def _gpus(count: int) -> str:
    return f"{count:,} GPU{'s' if count > 1 else ''}"


def _gib(count: int) -> str:
    return f"{count / GIB:.1f} GiB"
