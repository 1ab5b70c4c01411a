"""What fits into the memory of one engine's GPUs."""

from dataclasses import dataclass

from serving.capacity.shapes import Shape

GIB = 2**30
WIDTH = 2  # bytes of a bfloat16
BLOCK = 16  # tokens; vLLM's own on CUDA (CacheConfig.DEFAULT_BLOCK_SIZE in 0.32)
WORKING_BYTES = int(2.5 * GIB)
"""Assumed, since no GPU was at hand: activations of a step, CUDA graphs, libraries, and what the driver keeps."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """The memory of each of an engine's GPUs, in bytes, and the tokens whose keys and values fit into all of them."""

    usable: int
    weights: int
    working: int
    cache: int
    token: int
    """What one token takes on each GPU."""
    tokens: int

    def sequences(self, length: int) -> int:
        """How many of `length` tokens fit at once, each in whole blocks."""
        return self.tokens // BLOCK // blocks(length)


def memory(shape: Shape, gpu_bytes: float, utilization: float, gpus: int) -> Memory:
    """How vLLM uses `gpus` GPUs of `gpu_bytes` each for one engine in bfloat16. `cache` is below 0 where it does not fit."""
    usable = int(gpu_bytes * utilization)
    weights = shape.parameters * WIDTH // gpus
    cache = usable - weights - WORKING_BYTES
    token = int(shape.kv_bytes(WIDTH) * shape.kv_share(gpus))
    return Memory(
        usable=usable,
        weights=weights,
        working=WORKING_BYTES,
        cache=cache,
        token=token,
        tokens=tokens_in(cache, token, BLOCK),
    )


def tokens_in(cache: int, token: int, block: int) -> int:
    """The tokens in so many bytes, in whole blocks."""
    return max(0, cache // (token * block)) * block


def blocks(length: int) -> int:
    """The blocks of a sequence."""
    return -(-length // BLOCK)
