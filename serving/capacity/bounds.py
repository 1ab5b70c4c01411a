"""What an engine cannot be faster than, by the bandwidth and the speed of its GPUs.

A step of decoding reads all weights once, and the keys and values of every sequence in it; a prompt is multiplied with
the weights. Nothing else is counted: no attention, no sampling, no scheduler, no traffic between GPUs. So these are bounds, which
no engine reaches, and no promises.
"""

from dataclasses import dataclass

from serving.capacity.gpus import DataSheet
from serving.capacity.memory import WIDTH
from serving.capacity.shapes import Shape


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The bounds of one engine on `gpus` GPUs."""

    shape: Shape
    sheet: DataSheet
    gpus: int = 1

    def step_seconds(self, at_once: int, context: float) -> float:
        """The least time of a step that gives each of `at_once` sequences of `context` tokens one more."""
        read = WIDTH * self.shape.multiplied + at_once * context * self.shape.kv_bytes(WIDTH)
        reading = read / (self.sheet.bandwidth * self.gpus)
        computing = 2 * self.shape.multiplied * at_once / (self.sheet.flops * self.gpus)
        return max(reading, computing)

    def decode(self, at_once: int, context: float) -> float:
        """The most tokens of answers a second, of all sequences together."""
        return at_once / self.step_seconds(at_once, context)

    @property
    def prefill(self) -> float:
        """The most tokens of prompts a second, while nothing is decoded."""
        return self.sheet.flops * self.gpus / (2 * self.shape.in_layers)

    def first_token_seconds(self, prompt: int) -> float:
        """The least time until the first token after a prompt that nothing else is in the way of."""
        return max(prompt / self.prefill, self.step_seconds(1, prompt))

    def requests(self, at_once: int, prompt: int, answer: int) -> float:
        """The most requests a second, of which `at_once` are open all the time and prompts take turns with answers."""
        decoding = answer * self.step_seconds(at_once, prompt + answer / 2) / at_once
        return 1 / (prompt / self.prefill + decoding)
