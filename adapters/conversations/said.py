"""What was said in an exchange, as plain text: for a search, and for titles."""

from collections.abc import Iterator
from typing import Any

import msgspec

from adapters.conversations.exchange import Exchange

_MOST_SEARCHED = (
    64 * 1024
)  # characters of an exchange; of so many PostgreSQL's list of words can never be too long
_TITLE_LENGTH = 60
_FENCE = "```"


def searched(exchange: Exchange) -> str:
    """What an exchange is found by: the texts that are new in it, question and answer, up to a bound."""
    texts = [*_texts(_read(exchange.input)), *_texts(_read(exchange.answer or b"null"))]
    return "\n".join(texts)[:_MOST_SEARCHED].replace("\x00", " ")  # which PostgreSQL takes in no text


def first_words(input: str) -> str | None:
    """The beginning of the first thing that the user said, in one line; None where nothing was."""
    said = _read(input)
    if isinstance(said, list):
        users = [message for message in said if isinstance(message, dict) and message.get("role") == "user"]
        said = users or said
    words = " ".join(_texts(said[:1] if isinstance(said, list) else said)).split()
    if len(words) > 1 and words[0].startswith(_FENCE):
        del words[0]  # the code itself says more
    text = " ".join(words)
    if len(text) <= _TITLE_LENGTH:
        return text or None
    cut = text[:_TITLE_LENGTH]
    return f"{cut[: cut.rfind(' ')] if ' ' in cut else cut}\N{HORIZONTAL ELLIPSIS}"


def _read(text: str | bytes) -> Any:
    """The value of a JSON text; None where it holds what is no text, such as half a surrogate pair."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None


def _texts(said: Any) -> Iterator[str]:
    """The texts in a prompt, a message, or a list of either."""
    if isinstance(said, str):
        yield said
    elif isinstance(said, list):
        for one in said:
            yield from _texts(one)
    elif isinstance(said, dict):
        yield from _texts(said.get("content") or said.get("text"))
