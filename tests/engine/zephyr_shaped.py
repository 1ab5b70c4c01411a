"""A tiny model of Zephyr's shape: its architecture, tokenizer and template, with random weights from a fixed seed."""

import json
from pathlib import Path

from tests import zephyr_tokenizer

ARGUMENTS = ("--load-format", "dummy")
CONFIG = {
    "architectures": ["MistralForCausalLM"],
    "model_type": "mistral",
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 256,
    "initializer_range": 0.02,
    "intermediate_size": 688,
    "max_position_embeddings": 4096,
    "num_attention_heads": 8,
    "num_hidden_layers": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0,
    "sliding_window": None,
    "tie_word_embeddings": False,
    "torch_dtype": "float32",
    "use_cache": True,
    "vocab_size": 32000,
}
CARD = {"bos_token_id": 1, "eos_token_id": 2, "temperature": 0.7, "top_k": 50, "top_p": 0.95}


def write(folder: Path) -> None:
    """Write the model's folder; the weights are made by vLLM itself."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "generation_config.json").write_text(json.dumps(CARD))
    zephyr_tokenizer.write(folder)
