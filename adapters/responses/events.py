"""A response told as events, made of the engine's own. Pure, so that their order can be read off a table.

https://platform.openai.com/docs/api-reference/responses-streaming. Items are closed when the answer is whole, in the order
in which they were opened: a model may add to one after the next has begun.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from adapters.completions.events import Chunk, ToolCallDelta
from adapters.completions.requests import CalledFunction, ToolCall
from adapters.errors import GatewayError
from adapters.responses.items import CallItem, MessageItem, Shown, Status, output_text, shown
from adapters.responses.response import Facts, response

Event = dict[str, Any]
_LAST = {"completed": "response.completed", "failed": "response.failed"}
ENDS = frozenset({*_LAST.values(), "response.incomplete", "error"})
"""Types of events after which no other comes."""
_encoder = msgspec.json.Encoder()


class _Item:
    """An item on its way."""

    def __init__(self, index: int, id: str) -> None:
        self.index = index
        self.id = id
        self.call = ToolCall("", CalledFunction("", ""))
        self.pieces: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def message(self, status: Status) -> Shown:
        return shown(MessageItem("assistant", self.text), self.id, status)

    def function_call(self, status: Status) -> Shown:
        return shown(CallItem(self.call.id, self.call.function.name, self.text), self.id, status)


class Narrator:
    """Tells of one response: `created`, `in_progress`, `tell` again and again, then `end` or `error`."""

    def __init__(self, facts: Facts) -> None:
        """`facts` are those of the response before it has begun."""
        self._number = 0
        self._hex = facts.id.hex
        self._first = len(facts.inputs)
        self._message: _Item | None = None
        self._calls: dict[int, _Item] = {}

    def created(self, facts: Facts) -> Iterator[Event]:
        """The response is there, and in the background it may have to wait."""
        yield self._state("response.created", facts)
        if facts.status == "queued":
            yield self._state("response.queued", facts)

    def in_progress(self, facts: Facts) -> Iterator[Event]:
        """The engine has begun."""
        yield self._state("response.in_progress", facts)

    def tell(self, chunk: Chunk) -> Iterator[Event]:
        """What one event of the engine says."""
        for choice in chunk.choices:
            if choice.delta is None:
                continue
            if choice.delta.content:
                yield from self._text(choice.delta.content)
            for position, call in enumerate(choice.delta.tool_calls or ()):
                yield from self._called(position if call.index is None else call.index, call)

    def end(self, facts: Facts) -> Iterator[Event]:
        """What came of it; `facts` are those of the record."""
        if facts.status in ("completed", "incomplete"):
            yield from self._close_all("completed" if facts.status == "completed" else "incomplete")
        yield self._state(last_type(facts), facts)

    def error(self, error: GatewayError) -> Iterator[Event]:
        """Something that is not the response's own went wrong."""
        yield self._event("error", **_told(error))

    def _text(self, text: str) -> Iterator[Event]:
        if self._message is None:
            yield from self._open_message()
        assert self._message is not None
        self._message.pieces.append(text)
        yield self._of(
            self._message, "msg", "response.output_text.delta", content_index=0, delta=text, logprobs=[]
        )

    def _open_message(self) -> Iterator[Event]:
        item = self._message = _Item(len(self._calls), f"{self._hex}_{self._first}")
        empty = item.message("in_progress") | {"content": []}
        yield self._event("response.output_item.added", output_index=item.index, item=empty)
        yield self._of(item, "msg", "response.content_part.added", content_index=0, part=output_text(""))

    def _called(self, index: int, delta: ToolCallDelta) -> Iterator[Event]:
        function = delta.function
        item = self._calls.get(index)
        if item is None:
            opened = len(self._calls) + (self._message is not None)
            item = self._calls[index] = _Item(opened, f"{self._hex}_{self._first + 1 + len(self._calls)}")
            name = (function.name if function else None) or ""
            item.call = ToolCall(delta.id or "", CalledFunction(name, ""))
            yield self._event(
                "response.output_item.added", output_index=item.index, item=item.function_call("in_progress")
            )
        elif function and function.name:
            item.call.function.name += function.name
        if function and function.arguments:
            item.pieces.append(function.arguments)
            yield self._of(item, "fc", "response.function_call_arguments.delta", delta=function.arguments)

    def _close_all(self, status: Status) -> Iterator[Event]:
        if self._message is None and not self._calls:
            yield from self._open_message()
        for item in sorted([*self._calls.values(), *([self._message] if self._message else [])], key=_index):
            if item is self._message:
                yield from self._close_message(item, status)
            else:
                yield from self._close_call(item, status)

    def _close_message(self, item: _Item, status: Status) -> Iterator[Event]:
        text = item.text
        yield self._of(item, "msg", "response.output_text.done", content_index=0, text=text, logprobs=[])
        yield self._of(item, "msg", "response.content_part.done", content_index=0, part=output_text(text))
        yield self._event("response.output_item.done", output_index=item.index, item=item.message(status))

    def _close_call(self, item: _Item, status: Status) -> Iterator[Event]:
        done = "response.function_call_arguments.done"
        yield self._of(item, "fc", done, name=item.call.function.name, arguments=item.text)
        yield self._event(
            "response.output_item.done", output_index=item.index, item=item.function_call(status)
        )

    def _state(self, type: str, facts: Facts) -> Event:
        return self._event(type, response=response(facts))

    def _of(self, item: _Item, prefix: str, type: str, **fields: Any) -> Event:
        return self._event(type, item_id=f"{prefix}_{item.id}", output_index=item.index, **fields)

    def _event(self, type: str, **fields: Any) -> Event:
        event = {"type": type, "sequence_number": self._number, **fields}
        self._number += 1
        return event


def told_alone(error: GatewayError) -> Iterator[Event]:
    """An error of a response that nothing was told of before."""
    yield {"type": "error", "sequence_number": 0, **_told(error)}


def last_type(facts: Facts) -> str:
    """The type of a response's last event. A cancelled one has none of its own, and is incomplete."""
    return _LAST.get(facts.status, "response.incomplete")


def encoded(event: Event) -> bytes:
    """An event as JSON."""
    return _encoder.encode(event)


def framed(type: str, event: bytes) -> bytes:
    """An event's JSON as a server-sent event. There is no end mark in this API."""
    return b"event: %b\ndata: %b\n\n" % (type.encode(), event)


def _told(error: GatewayError) -> dict[str, Any]:
    return {"code": error.code, "message": error.message, "param": error.param}


def _index(item: _Item) -> int:
    return item.index
