"""Finding the conversation that a stateless request goes on with.

Chat completions repeat the whole history in every request. What an exchange said, from its first message to its answer,
has a hash; a request whose messages up to its last assistant turn have the same hash goes on from that exchange. The
hash holds the caller, so that nobody ever joins another's conversation.
"""

from collections.abc import Sequence
from typing import Self
from uuid import UUID

import msgspec

from adapters.completions.requests import Message
from adapters.conversations.naming import Naming

_KIND = b"zephyr-thread-1"
_encoder = msgspec.json.Encoder()


class Transcribed:
    """What a caller and the model have said, message by message, as far as its name goes."""

    __slots__ = ("_naming",)

    def __init__(self, caller: str) -> None:
        self._naming = Naming(_KIND).add(caller.encode())

    def add(self, message: Message) -> Self:
        """Take in the next message."""
        self._naming.add(_encoder.encode(_canonical(message)))
        return self

    def name(self) -> UUID:
        """The name of it so far."""
        return self._naming.name()

    def with_answer(self, answer: Message) -> UUID:
        """What the name becomes with the model's answer, which is not taken in."""
        return self._naming.copy().add(_encoder.encode(_canonical(answer))).name()


class Followed(msgspec.Struct, frozen=True):
    """A request's place in a conversation."""

    transcribed: Transcribed
    """Everything that the request says."""
    follows: UUID | None
    """The name of the transcript up to and including its last assistant turn; None where it has none."""
    repeated: int
    """How many of its messages that transcript holds."""


def follow(caller: str, messages: Sequence[Message]) -> Followed:
    """What a request with these messages goes on from. They are taken as the client wrote them."""
    repeated = next(
        (place for place in range(len(messages), 0, -1) if messages[place - 1].role == "assistant"), 0
    )
    transcribed = Transcribed(caller)
    for message in messages[:repeated]:
        transcribed.add(message)
    follows = transcribed.name() if repeated else None
    for message in messages[repeated:]:
        transcribed.add(message)
    return Followed(transcribed, follows, repeated)


def _canonical(message: Message) -> Message:
    """Clients send an answer back with `null`, `""` or nothing where it has no text or no calls, and often trimmed."""
    if message.role != "assistant":
        return message
    content = message.joined().content
    assert not isinstance(content, list)
    return msgspec.structs.replace(
        message, content=(content or "").strip() or None, tool_calls=message.tool_calls or None
    )
