"""From a model, a GPU and a load to engines, what to expect of them, and how they are set up."""

from dataclasses import dataclass
from math import ceil

from serving.capacity.bounds import Bounds
from serving.capacity.gpus import DataSheet
from serving.capacity.memory import GIB, Memory, memory
from serving.capacity.shapes import Shape
from serving.engine.profile import GPU_CONCURRENCY, GPU_MEMORY_UTILIZATION, SPARE_SHARE
from serving.errors import CannotPlan

ENGINE_GPUS = (1, 2, 4, 8)  # of one machine
MOST_AT_ONCE = 1024  # sequences; vLLM 0.32's own most on its largest GPUs
SHARE = 0.5
"""Of the bounds, what is planned with: assumed, since no GPU was at hand. Beside it: vLLM 0.23 was reported to give 5,333
tokens/s of Llama 3.1 8B on an H100 (runinfra.ai, 2026-06-20; lengths unknown); half of the bounds is 5,233 tokens/s of
zephyr-7b-beta there, with 256 at once, prompts of 512 tokens and answers of 128."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is asked for: so many requests open at once, or so many a second; or neither, to see what one engine holds."""

    prompt: int
    answer: int
    users: int | None = None
    requests: float | None = None

    @property
    def length(self) -> int:
        """The tokens of a whole sequence."""
        return self.prompt + self.answer


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The plan. Without a data sheet there are no `bounds`, and `requests` and `open_seconds` are None."""

    shape: Shape
    load: Load
    gpu: str
    gpu_bytes: int
    share: float
    gpus: int
    """Of each engine: its tensor parallel size."""
    memory: Memory
    most_at_once: int
    """Sequences of the load's length that an engine runs at once."""
    bounds: Bounds | None
    engines: int
    at_once: int
    """Of these, those that the load has open at each engine; without a load, as many as our settings let it have."""

    @property
    def requests(self) -> float | None:
        """Requests a second of all engines, with `at_once` open at each: a share of the bound."""
        if self.bounds is None:
            return None
        each = self.bounds.requests(self.at_once, self.load.prompt, self.load.answer)
        return self.share * each * self.engines

    @property
    def open_seconds(self) -> float | None:
        """How long a request is open then."""
        return None if self.requests is None else self.at_once * self.engines / self.requests

    @property
    def middle(self) -> float:
        """The tokens of a sequence in the middle of its answer."""
        return self.load.prompt + self.load.answer / 2

    @property
    def longest(self) -> int:
        """The longest sequence that an engine can be set up for."""
        return min(self.shape.context, self.memory.tokens)

    @property
    def places(self) -> tuple[int, int]:
        """The usual and the spare places at each engine: our own numbers where they fit, more where the load needs them."""
        usual = max(self.at_once, usual_places(self.most_at_once))
        return usual, min(usual // SPARE_SHARE, self.most_at_once - usual)


def plan(shape: Shape, gpu: DataSheet | float, load: Load, share: float = SHARE) -> Plan:
    """Plan for a load, on GPUs of one kind, or of which only the memory is known, in GiB.

    Raises:
        CannotPlan: the model does not fit, or the load does not go with it.
    """
    _check(shape, gpu, load)
    sheet = gpu if isinstance(gpu, DataSheet) else None
    gpu_bytes = sheet.memory_mib * 2**20 if sheet else int(gpu * GIB)  # type: ignore[operator]
    gpus, fits = _smallest(shape, gpu_bytes, load.length)
    bounds = Bounds(shape=shape, sheet=sheet, gpus=gpus) if sheet else None
    most = min(fits.sequences(load.length), MOST_AT_ONCE)
    engines, at_once = _engines(load, most, bounds, share)
    return Plan(
        shape=shape,
        load=load,
        gpu=sheet.name if sheet else "a GPU",
        gpu_bytes=gpu_bytes,
        share=share,
        gpus=gpus,
        memory=fits,
        most_at_once=most,
        bounds=bounds,
        engines=engines,
        at_once=at_once,
    )


def _check(shape: Shape, gpu: DataSheet | float, load: Load) -> None:
    if load.length > shape.context:
        raise CannotPlan(
            f"--prompt-tokens, --answer-tokens: {load.length:,} together; {shape.name} takes {shape.context:,}"
        )
    if load.users is not None and load.requests is not None:
        raise CannotPlan("--users, --requests-per-second: give one of them")
    if load.requests is not None and not isinstance(gpu, DataSheet):
        raise CannotPlan("--requests-per-second: needs --gpu, of which the speed is known, not --gpu-memory")


def _smallest(shape: Shape, gpu_bytes: int, length: int) -> tuple[int, Memory]:
    """The fewest GPUs of one machine that hold the model and one sequence."""
    for gpus in ENGINE_GPUS:
        fits = memory(shape, gpu_bytes, GPU_MEMORY_UTILIZATION, gpus)
        if shape.divides(gpus) and fits.sequences(length):
            return gpus, fits
    possible = [gpus for gpus in ENGINE_GPUS if shape.divides(gpus)]
    raise CannotPlan(
        f"--gpu, --gpu-memory: {shape.name} and one sequence of {length:,} tokens do not fit on {possible[-1]} GPUs "
        f"of {gpu_bytes / GIB:.1f} GiB, the most of one machine that it divides by"
    )


def _engines(load: Load, most: int, bounds: Bounds | None, share: float) -> tuple[int, int]:
    """How many engines the load takes, and how many of its requests are open at each."""
    if load.requests is not None and bounds is not None:  # `_check` has seen to the second
        engines = ceil(load.requests / (share * bounds.requests(most, load.prompt, load.answer)))
        return engines, _open_at(load.requests / engines / share, load, most, bounds)
    if load.users is None:
        return 1, usual_places(most)
    engines = ceil(load.users / most)
    return engines, ceil(load.users / engines)


def usual_places(most: int) -> int:
    """Our own number, or less where that and the spare ones would be more than fit."""
    return max(1, min(GPU_CONCURRENCY, most * SPARE_SHARE // (SPARE_SHARE + 1)))


def _open_at(rate: float, load: Load, most: int, bounds: Bounds) -> int:
    """The fewest requests that are open at an engine while it keeps up with a rate: more at once go faster together."""
    return next(
        (number for number in range(1, most) if bounds.requests(number, load.prompt, load.answer) >= rate),
        most,
    )
