"""What vLLM is doing while it starts, read from the lines that it prints."""

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


def describe(line: str) -> str | None:
    """What a line says about the start, if anything."""
    for pattern, text in STEPS:
        if found := pattern.search(line):
            return text.format(*found.groups())
    return None
