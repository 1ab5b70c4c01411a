"""What the model has said so far, put together from the engine's stream for the log."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from adapters.completions import events
from adapters.completions.events import Choice, Chunk, Delta, ToolCallDelta, Usage
from adapters.completions.requests import CalledFunction, Message, ToolCall
from adapters.errors import GatewayError

_FOLD_AT_BYTES = 4 * 1024  # a stream is some 240 bytes a token on the wire and 4 as text


@dataclass(slots=True)
class _Message:
    content: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    tool_calls: dict[int, dict[str, str]] = field(default_factory=dict)
    finish_reason: str | None = None

    def fold(self) -> None:
        """Keep one text instead of one for each token, which takes some ten times the memory."""
        for texts in (self.content, self.reasoning):
            if len(texts) > 1:
                texts[:] = ["".join(texts)]


class Transcript:
    """Collects an answer. Raw pieces are kept as they come, and read now and then, off the path of a token."""

    def __init__(self, limit: int) -> None:
        """`limit` bounds the answer as sent on the wire, in bytes."""
        self._limit = limit
        self._size = 0
        self._unread: list[bytes] = []
        self._unread_bytes = 0
        self._tokens_read = 0
        self._messages: dict[int, _Message] = {}
        self._counts: dict[int, int] = {}
        """Of a stream whose events count, the tokens of each choice so far."""
        self.usage: Usage | None = None
        self.fingerprint: str | None = None
        self.prompt_text: str | None = None

    def add(self, piece: bytes) -> None:
        """Take in a piece of whole events.

        Raises:
            GatewayError: the answer is larger than the limit, or not what vLLM writes.
        """
        self._unread.append(piece)
        self._unread_bytes += len(piece)
        if self._unread_bytes > _FOLD_AT_BYTES:
            self.read()

    def read(self) -> None:
        """Read what has come since the last time."""
        pieces, self._unread = self._unread, []
        self._size += self._unread_bytes
        self._unread_bytes = 0
        if self._size > self._limit:
            raise GatewayError("The answer is larger than this server takes.")
        for chunk in events.chunks(b"".join(pieces)):
            self.add_chunk(chunk)
        for message in self._messages.values():
            message.fold()

    def tokens_so_far(self) -> int:
        """About how many tokens have come: one for each event, two more for a stream's first and last.

        This is asked of every stream at once, and so looks into nothing.
        """
        return self._tokens_read + len(self._unread)

    def add_chunk(self, chunk: Chunk) -> None:
        """Take in one event, or a whole plain answer."""
        self._tokens_read += len(chunk.choices)
        if chunk.usage is not None:
            self.usage = self._counted(chunk.usage, chunk.choices)
        self.fingerprint = chunk.system_fingerprint or self.fingerprint
        self.prompt_text = chunk.prompt_text or self.prompt_text
        for choice in chunk.choices:
            message = self._messages.get(choice.index)
            if message is None:
                message = self._messages[choice.index] = _Message()
            message.finish_reason = choice.finish_reason or message.finish_reason
            if choice.text:
                message.content.append(choice.text)
            if (said := choice.delta or choice.message) is not None:
                _add_delta(message, said)

    def _counted(self, usage: Usage, choices: list[Choice]) -> Usage:
        """The count of all choices. vLLM gives that at the end; an event before counts the tokens of its own choice."""
        if len(choices) != 1:
            return usage
        self._counts[choices[0].index] = usage.completion_tokens or 0
        return msgspec.structs.replace(usage, completion_tokens=sum(self._counts.values()))

    @property
    def text(self) -> str:
        """The text of the first choice."""
        message = self._messages.get(0)
        return "".join(message.content) if message else ""

    @property
    def message(self) -> Message | None:
        """The first choice as a client sends it back; None where nothing was said."""
        said = self._messages.get(0)
        if said is None or not (said.content or said.tool_calls):
            return None
        calls = [
            ToolCall(call["id"], CalledFunction(call["name"], call["arguments"]))
            for _, call in sorted(said.tool_calls.items())
        ]
        return Message(role="assistant", content="".join(said.content), tool_calls=calls)

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended."""
        message = self._messages.get(0)
        return message.finish_reason if message else None

    def complete(self, choices: int) -> bool:
        """Whether so many choices have come, each to an end of its own."""
        reasons = [message.finish_reason for message in self._messages.values()]
        return len(reasons) >= choices and all(reason and reason not in events.BROKEN for reason in reasons)

    def answer(self) -> bytes | None:
        """The log's form of the answer: a JSON array with a message for each choice, None if nothing came."""
        if not self._messages:
            return None
        return msgspec.json.encode(
            [_logged(index, message) for index, message in sorted(self._messages.items())]
        )


def _add_delta(message: _Message, delta: Delta) -> None:
    if delta.content:
        message.content.append(delta.content)
    if delta.reasoning:
        message.reasoning.append(delta.reasoning)
    for position, call in enumerate(delta.tool_calls or ()):
        _add_tool_call(message, position if call.index is None else call.index, call)


def _add_tool_call(message: _Message, index: int, call: ToolCallDelta) -> None:
    known = message.tool_calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
    known["id"] = known["id"] or call.id or ""
    if call.function is not None:
        known["name"] += call.function.name or ""
        known["arguments"] += call.function.arguments or ""


def _logged(index: int, message: _Message) -> dict[str, Any]:
    logged: dict[str, Any] = {"index": index, "role": "assistant", "content": "".join(message.content)}
    if message.reasoning:
        logged["reasoning"] = "".join(message.reasoning)
    if message.tool_calls:
        logged["tool_calls"] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": call["arguments"]},
            }
            for _, call in sorted(message.tool_calls.items())
        ]
    logged["finish_reason"] = message.finish_reason
    return logged
