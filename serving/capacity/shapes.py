"""What a model's configuration says of its size."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from serving.engine.models import SMOLLM2, ZEPHYR, looks_like_a_folder
from serving.errors import CannotPlan

# Dense decoders with a gated MLP of three matrices, whose parameters add up as below.
DENSE = ("llama", "mistral", "phi3", "qwen2", "qwen3")


Size = Annotated[int, Field(gt=0, le=10**8)]


class Configuration(BaseModel):
    """The part of a model's `config.json` that is counted with, by the names it has there."""

    model_type: str
    num_hidden_layers: Size
    hidden_size: Size
    intermediate_size: Size
    num_attention_heads: Size
    num_key_value_heads: Size | None = None
    head_dim: Size | None = None
    vocab_size: Size
    max_position_embeddings: Size
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    quantization_config: dict[str, object] | None = None

    @model_validator(mode="after")
    def _heads_have_a_size(self) -> Self:
        if self.head_dim is None and self.num_attention_heads > self.hidden_size:
            raise ValueError("num_attention_heads: more than hidden_size")
        return self


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A dense decoder. `context` is the longest prompt and answer together, in tokens, that our host lets it have."""

    name: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    context: int
    tied: bool = False
    biases: int = 0
    """Further parameters of each layer: biases, norms of queries and keys."""

    @property
    def parameters(self) -> int:
        """All of them."""
        embeddings = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return embeddings + self.layers * self._layer + self.hidden

    @property
    def multiplied(self) -> int:
        """Those that a token of an answer is multiplied with: the matrices of the layers, and the output's."""
        return self.in_layers + self.vocabulary * self.hidden

    @property
    def in_layers(self) -> int:
        """Those that a token of a prompt is multiplied with: nothing is predicted after it."""
        return self.layers * self._matrices

    def kv_bytes(self, width: int) -> int:
        """What one token takes in the KV cache, at `width` bytes a number: its key and its value in each layer."""
        return 2 * self.layers * self.kv_heads * self.head_dim * width

    def kv_share(self, gpus: int) -> float:
        """Which part of it each of several GPUs holds: heads that do not divide any more are held by several."""
        return 1 / min(gpus, self.kv_heads)

    def divides(self, gpus: int) -> bool:
        """Whether vLLM shares it out among so many GPUs."""
        return self.heads % gpus == 0 and (self.kv_heads % gpus == 0 or gpus % self.kv_heads == 0)

    @property
    def _matrices(self) -> int:
        attention = 2 * self.hidden * self.head_dim * (self.heads + self.kv_heads)
        return attention + 3 * self.hidden * self.intermediate

    @property
    def _layer(self) -> int:
        return self._matrices + 2 * self.hidden + self.biases


# https://huggingface.co/HuggingFaceH4/zephyr-7b-beta/blob/main/config.json
ZEPHYR_SHAPE = Shape(
    name=ZEPHYR.name,
    layers=32,
    hidden=4096,
    intermediate=14336,
    heads=32,
    kv_heads=8,
    head_dim=128,
    vocabulary=32_000,
    context=ZEPHYR.context or 0,
)
# https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct/blob/main/config.json
SMOLLM2_SHAPE = Shape(
    name=SMOLLM2.name,
    layers=30,
    hidden=576,
    intermediate=1536,
    heads=9,
    kv_heads=3,
    head_dim=64,
    vocabulary=49_152,
    context=SMOLLM2.context or 0,
    tied=True,
)


def shape_of(model: str) -> Shape:
    """The shape of a model: one that is known here, or that of a folder with a `config.json`. Nothing is fetched.

    Raises:
        CannotPlan: it is not known, or its configuration cannot be counted with.
    """
    for known, shape in ((ZEPHYR, ZEPHYR_SHAPE), (SMOLLM2, SMOLLM2_SHAPE)):
        if model in (known.name, known.source):
            return shape
    if not looks_like_a_folder(model):
        raise CannotPlan(
            f"--model: {model!r} is not known here, and nothing is fetched. Give the folder of a model, "
            f"{ZEPHYR.name} or {SMOLLM2.name}."
        )
    return _read(Path(model).expanduser().absolute())


def _read(folder: Path) -> Shape:
    file = folder / "config.json"
    try:
        found = Configuration.model_validate(json.loads(file.read_text()))
    except ValidationError as error:
        problems = "; ".join(": ".join([*map(str, one["loc"]), one["msg"]]) for one in error.errors())
        raise CannotPlan(f"--model: {file}: {problems}") from None
    except (OSError, ValueError) as error:
        raise CannotPlan(f"--model: {file} cannot be read ({type(error).__name__})") from None
    if found.model_type not in DENSE:
        raise CannotPlan(
            f"--model: {file}: model_type {found.model_type!r} is not counted here; {', '.join(DENSE)} are"
        )
    if found.quantization_config is not None:
        raise CannotPlan(f"--model: {file}: quantization_config: quantised weights are not counted here")
    return _counted(folder.name, found)


def _counted(name: str, found: Configuration) -> Shape:
    heads = found.num_attention_heads
    kv_heads = found.num_key_value_heads or heads
    head_dim = found.head_dim or found.hidden_size // heads
    return Shape(
        name=name,
        layers=found.num_hidden_layers,
        hidden=found.hidden_size,
        intermediate=found.intermediate_size,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        vocabulary=found.vocab_size,
        context=ZEPHYR_SHAPE.context if name == ZEPHYR.name else found.max_position_embeddings,
        tied=found.tie_word_embeddings,
        biases=_biases(found, head_dim * (heads + 2 * kv_heads), head_dim),
    )


def _biases(found: Configuration, projected: int, head_dim: int) -> int:
    """As transformers' classes have them: Qwen2 always on queries, keys, values; Qwen3 norms of queries and keys."""
    biases = projected + found.hidden_size if found.attention_bias else 0
    if found.model_type == "qwen2":
        return projected
    return biases + (2 * head_dim if found.model_type == "qwen3" else 0)
