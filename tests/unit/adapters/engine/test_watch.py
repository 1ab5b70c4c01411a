"""What the gateway makes of what the engine tells about its tokenizer."""

import pytest

from adapters.engine.watch import markers_of
from tests.fakes import answers

CHATML = {
    "eos_token": "<|im_end|>",
    "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
    "added_tokens_decoder": {"0": {"content": "<|endoftext|>"}, "1": {"content": "<repo_name>"}},
    "chat_template": "{% for m in messages %}{{ '<|im_start|>' + m.role }}{% endfor %}",
    "clean_up_tokenization_spaces": False,
    "model_max_length": 2048,
}


def test_zephyrs_markers() -> None:
    assert {"<s>", "</s>", "<unk>", "<|assistant|>"} <= set(markers_of(answers.tokenizer_info()))


def test_chatml_markers() -> None:
    assert {"<|im_start|>", "<|im_end|>", "<|endoftext|>", "<repo_name>"} <= set(markers_of(CHATML))


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"eos_token": None},
        {"added_tokens_decoder": []},
        {"chat_template": 5},
        {"bos_token": {"content": "<s>"}},
    ],
)
def test_odd_answers_are_no_errors(odd: dict[str, object]) -> None:
    assert all(isinstance(marker, str) for marker in markers_of(odd))
