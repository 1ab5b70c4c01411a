"""What vLLM is doing while it starts, and what it died of, read from the lines that it prints."""

import re

# The first that matches speaks. Patterns are those of vLLM 0.32; an unknown line says nothing.
STEPS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), text)
    for pattern, text in (
        (r"non-default args", "starting vLLM (importing takes a while)"),
        (r"Initializing a V1 LLM engine", "starting the engine core"),
        (r"Starting to load model", "loading the model"),
        (r"Loading safetensors checkpoint shards:\s+(\d+)%", "loading weights, {} %"),
        (r"Start(?:ing|ed)? (?:to )?compil|Dynamo bytecode transform|Compiling a graph", "compiling"),
        (r"Warming up model", "warming up"),
        (r"Capturing CUDA graphs.*?(\d+)%", "capturing CUDA graphs, {} %"),
        (r"init engine \(", "starting its server"),
    )
)


# What to do about what vLLM says it died of. Its last lines alone often show only who noticed.
ADVICE: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), text)
    for pattern, text in (
        (
            r"KV cache is needed, which is larger than|No available memory for the cache blocks",
            "The KV cache is too small: raise ZEPHYR_ENGINE_KV_CACHE_GIB, or lower ZEPHYR_ENGINE_MAX_MODEL_LEN.",
        ),
        (
            r"OutOfMemoryError|out of memory|Cannot allocate memory|Free memory on device|not enough memory",
            "There is not enough memory: end what else uses it, lower ZEPHYR_ENGINE_KV_CACHE_GIB, or choose a "
            "smaller ZEPHYR_MODEL.",
        ),
        (r"No space left on device", "The disk is full: free some space."),
        (
            r"unrecognized arguments|invalid choice|error: argument",
            "vLLM does not take an argument: look at ZEPHYR_ENGINE_EXTRA_ARGS.",
        ),
        (
            r"Model architectures .* are not supported|does not recognize this architecture",
            "This vLLM does not know the model's architecture: choose another ZEPHYR_MODEL.",
        ),
        (
            r"greater than the derived max_model_len",
            "ZEPHYR_ENGINE_MAX_MODEL_LEN is more than the model can: lower it.",
        ),
    )
)


def advise(line: str) -> str | None:
    """What may help against what a line complains about, if that is known."""
    return next((text for pattern, text in ADVICE if pattern.search(line)), None)


def describe(line: str) -> str | None:
    """What a line says about the start, if anything."""
    for pattern, text in STEPS:
        if found := pattern.search(line):
            return text.format(*found.groups())
    return None
