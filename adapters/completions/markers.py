"""Texts that steer a chat model, and how they are made harmless in what people write.

A chat template marks turns with texts such as `<|user|>` and ends them with special tokens such as `</s>`.
A tokenizer recognises these also inside a message, so that anyone could forge a turn. A zero-width space after
a marker's first character leaves the text readable and makes the tokenizer see ordinary characters.
"""

import re
from collections.abc import Iterable
from typing import Any

_BREAK = "\u200b"
_COMMON = r"<\|[^|<>\s]{1,64}\|>"  # <|user|>, <|im_start|>, <|eot_id|>: no natural text
_WHEN_UNKNOWN = (
    *("<s>", "</s>", "<unk>", "<pad>", "<bos>", "<eos>"),
    *("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<start_of_turn>", "<end_of_turn>"),
)
_ESCAPED = re.compile(rb"\\[u/]")  # JSON's other spellings of any character of a marker


class Markers:
    """The markers of one model."""

    def __init__(self, markers: Iterable[str] | None) -> None:
        """`markers` are the model's own; None, of an engine that does not tell them, stands for the usual ones."""
        known = _WHEN_UNKNOWN if markers is None else markers
        alternatives = [_COMMON, *(re.escape(marker) for marker in known if len(marker) > 1)]
        # A look-ahead finds overlapping markers too: each one's first character is matched by itself.
        self._first_characters = re.compile(f"(?=(?:{'|'.join(alternatives)}))(.)", re.DOTALL)
        self._anywhere = re.compile("|".join(alternatives).encode())

    def may_be_in(self, json: bytes) -> bool:
        """Whether a JSON text may hold a marker; a quick look that spares most requests the long one."""
        return self._anywhere.search(json) is not None or _ESCAPED.search(json) is not None

    def neutralise(self, text: str) -> str:
        """The text with every marker broken."""
        return self._first_characters.sub(rf"\1{_BREAK}", text)

    def neutralise_all(self, value: Any) -> Any:
        """The same for every string in a JSON value, names of members included."""
        if isinstance(value, str):
            return self.neutralise(value)
        if isinstance(value, list):
            return [self.neutralise_all(item) for item in value]
        if isinstance(value, dict):
            return {self.neutralise(key): self.neutralise_all(item) for key, item in value.items()}
        return value
