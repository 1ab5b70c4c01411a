"""Shapes: parameters and cache bytes of published models, and configurations that cannot be counted with."""

import json
from pathlib import Path

import pytest

from serving.capacity.shapes import SMOLLM2_SHAPE, ZEPHYR_SHAPE, Shape, shape_of
from serving.engine.models import SMOLLM2, ZEPHYR
from serving.errors import CannotPlan

# As in the models' config.json on the hub.
MISTRAL = {
    "model_type": "mistral",
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 32000,
    "max_position_embeddings": 32768,
    "sliding_window": 4096,
}
LLAMA_8B = MISTRAL | {
    "model_type": "llama",
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "sliding_window": None,
}
LLAMA_70B = LLAMA_8B | {
    "num_hidden_layers": 80,
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "num_attention_heads": 64,
}
QWEN2_7B = {
    "model_type": "qwen2",
    "num_hidden_layers": 28,
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "max_position_embeddings": 32768,
}
QWEN3_8B = {
    "model_type": "qwen3",
    "num_hidden_layers": 36,
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151936,
    "max_position_embeddings": 40960,
}


def read(tmp_path: Path, configuration: dict[str, object], name: str = "model") -> Shape:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(configuration))
    return shape_of(str(folder))


@pytest.mark.parametrize(
    ("configuration", "parameters"),
    [
        (MISTRAL, 7_241_732_096),
        (LLAMA_8B, 8_030_261_248),
        (LLAMA_70B, 70_553_706_496),
        (QWEN2_7B, 7_615_616_512),
        (QWEN3_8B, 8_190_735_360),
    ],
)
def test_parameters_are_those_that_the_hub_shows(
    tmp_path: Path, configuration: dict[str, object], parameters: int
) -> None:
    """Of Mistral 7B v0.1, Llama 3.1 8B and 70B, Qwen2.5 7B, Qwen3 8B: to the last one."""
    assert read(tmp_path, configuration).parameters == parameters


def test_known_models_have_their_parameters_and_cache_bytes() -> None:
    """2 x 32 layers x 8 heads x 128 x 2 bytes, and 2 x 30 layers x 3 heads x 64 x 4 bytes in float32."""
    assert (ZEPHYR_SHAPE.parameters, SMOLLM2_SHAPE.parameters) == (ZEPHYR.parameters, SMOLLM2.parameters)
    assert ZEPHYR_SHAPE.kv_bytes(2) == 131_072
    assert SMOLLM2_SHAPE.kv_bytes(4) == 46_080


@pytest.mark.parametrize("model", [ZEPHYR.name, ZEPHYR.source])
def test_models_of_ours_need_no_files(model: str) -> None:
    """By either name, with the context that our host gives it."""
    assert shape_of(model) == ZEPHYR_SHAPE
    assert ZEPHYR_SHAPE.context == 4096


def test_zephyr_in_a_folder_is_zephyr(tmp_path: Path) -> None:
    """Counted from its configuration, and set up as the host does."""
    assert read(tmp_path, MISTRAL, ZEPHYR.name) == ZEPHYR_SHAPE


def test_heads_share_what_divides() -> None:
    """Beyond the key heads each GPU holds a copy, so that the cache does not shrink any more."""
    assert [gpus for gpus in (1, 2, 3, 4, 8, 16) if ZEPHYR_SHAPE.divides(gpus)] == [1, 2, 4, 8, 16]
    assert [gpus for gpus in (1, 2, 3) if SMOLLM2_SHAPE.divides(gpus)] == [1, 3]
    assert (ZEPHYR_SHAPE.kv_share(4), ZEPHYR_SHAPE.kv_share(16)) == (1 / 4, 1 / 8)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "mixtral"}, "model_type 'mixtral'"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"vocab_size": "many"}, "vocab_size"),
        ({"hidden_size": 10**400}, "hidden_size"),
        ({"num_attention_heads": 5000}, "num_attention_heads"),
    ],
)
def test_configuration_that_is_not_counted_is_named(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    """The option, the file and the field."""
    with pytest.raises(CannotPlan, match=rf"^--model: .*config\.json: .*{said}"):
        read(tmp_path, MISTRAL | change)


@pytest.mark.parametrize("content", [None, "", "[]", "\xff"])
def test_folder_without_a_configuration_is_refused(tmp_path: Path, content: str | None) -> None:
    """Missing, empty, something else."""
    if content is not None:
        (tmp_path / "config.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(CannotPlan, match=r"^--model: .*config\.json"):
        shape_of(str(tmp_path))


def test_model_of_the_hub_is_not_fetched() -> None:
    """It says what to give instead."""
    with pytest.raises(CannotPlan, match=r"^--model: 'nobody/nothing' is not known here"):
        shape_of("nobody/nothing")
