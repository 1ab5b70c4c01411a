"""Zephyr's own tokenizer and chat template, without its weights.

`mistral_common` ships the 32 000-piece tokenizer of Mistral-7B-v0.1, which is Zephyr's; the configuration beside
it is that of the model's repository.
"""

import json
import shutil
from pathlib import Path

import mistral_common

TEMPLATE = Path(__file__).parents[1] / "serving" / "engine" / "templates" / "zephyr.jinja"
_CONFIG = {
    "tokenizer_class": "LlamaTokenizer",
    "add_bos_token": True,
    "add_eos_token": False,
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "pad_token": "</s>",
    "additional_special_tokens": ["<unk>", "<s>", "</s>"],
    "clean_up_tokenization_spaces": False,
    "legacy": True,
    "model_max_length": 1e30,
    "truncation_side": "left",
}


def write(folder: Path) -> None:
    """Put the tokenizer's files into a folder, as a model's repository has them."""
    data = Path(mistral_common.__file__).parent / "data" / "tokenizer.model.v1"
    shutil.copy(data, folder / "tokenizer.model")
    config = {**_CONFIG, "chat_template": TEMPLATE.read_text()}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
