"""Items: what a response is given and what it says, as clients write them, as they are shown, as the model sees them.

https://platform.openai.com/docs/api-reference/responses/create (`input`)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from adapters.access.reading import read
from adapters.completions.requests import CalledFunction, FunctionName, Message, Name, ToolCall
from adapters.errors import InvalidRequest

Shown = dict[str, Any]
"""An item as a client is shown it."""
Role = Literal["user", "assistant", "system", "developer"]
Status = Literal["in_progress", "completed", "incomplete"]


class Part(Struct):
    """A part of a text."""

    type: Literal["input_text", "output_text", "text"]
    text: str


class MessageItem(Struct):
    """Something that was said. Members that are not listed are dropped: clients send back what they were shown."""

    role: Role
    content: str | list[Part]

    @property
    def texts(self) -> list[str]:
        """Its parts."""
        return [self.content] if isinstance(self.content, str) else [part.text for part in self.content]


class CallItem(Struct):
    """A call of a function by the model."""

    call_id: Name
    name: FunctionName
    arguments: str


class OutputItem(Struct):
    """What a called function gave back."""

    call_id: Name
    output: str | list[Part]


class Reference(Struct):
    """Stands for an item that is kept."""

    id: Annotated[str, Meta(max_length=128)]


Item = MessageItem | CallItem | OutputItem


@dataclass(frozen=True, slots=True)
class Written:
    """An item, and the JSON that it was read from."""

    item: Item | Reference
    text: bytes


class _Kind(Struct):
    type: str | None = None
    role: Any = msgspec.UNSET


_input = msgspec.json.Decoder(str | list[msgspec.Raw])
_kind = msgspec.json.Decoder(_Kind)
_decoders: dict[str, Any] = {
    "message": msgspec.json.Decoder(MessageItem),
    "function_call": msgspec.json.Decoder(CallItem),
    "function_call_output": msgspec.json.Decoder(OutputItem),
    "item_reference": msgspec.json.Decoder(Reference),
}


def read_input(text: bytes, place: str = "input") -> list[Written]:
    """The items of an `input`, which may be one text of the user.

    Raises:
        InvalidRequest: naming the place of what is not an item.
    """
    found = read(_input, text, place)
    if isinstance(found, str):
        return [Written(MessageItem("user", found), text)]
    return [read_item(bytes(item), f"{place}[{number}]") for number, item in enumerate(found)]


def read_item(text: bytes, place: str) -> Written:
    """One item.

    Raises:
        InvalidRequest: naming the place, and what is wrong there.
    """
    kind = read(_kind, text, place)
    # A message need not say that it is one; https://platform.openai.com/docs/api-reference/responses/create
    type = kind.type or ("item_reference" if kind.role is msgspec.UNSET else "message")
    decoder = _decoders.get(type)
    if decoder is None:
        raise InvalidRequest(
            f"This server does not take items of the type '{type[:64]}': only messages of text, function calls and "
            "their outputs.",
            param=f"{place}.type",
            code="unsupported_item",
        )
    return Written(read(decoder, text, place), text)


def items_of(input: bytes) -> list[Item]:
    """The items of an input that was read before; in the log every reference has been resolved."""
    return [written.item for written in read_input(input) if not isinstance(written.item, Reference)]


def said(answer: bytes | None) -> list[Item]:
    """The items of an answer as the log has it. A message of no text is said only where nothing else is."""
    choices = msgspec.json.decode(answer) if answer else []
    if not choices:
        return []
    content, calls = choices[0]["content"], choices[0].get("tool_calls") or []
    spoken = [MessageItem("assistant", content)] if content or not calls else []
    called = [CallItem(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in calls]
    return [*spoken, *called]


def shown(item: Item, id: str, status: Status = "completed") -> Shown:
    """The item as clients are shown it; `id` is without its prefix."""
    if isinstance(item, CallItem):
        return {
            "id": f"fc_{id}",
            "type": "function_call",
            "status": status,
            "call_id": item.call_id,
            "name": item.name,
            "arguments": item.arguments,
        }
    if isinstance(item, OutputItem):
        output = item.output
        if not isinstance(output, str):
            output = [{"type": "input_text", "text": part.text} for part in output]  # type: ignore[misc]
        return {
            "id": f"fco_{id}",
            "type": "function_call_output",
            "status": status,
            "call_id": item.call_id,
            "output": output,
        }
    part = output_text if item.role == "assistant" else _input_text
    return {
        "id": f"msg_{id}",
        "type": "message",
        "status": status,
        "role": item.role,
        "content": [part(text) for text in item.texts],
    }


def output_text(text: str) -> Shown:
    """A part of what the model said."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _input_text(text: str) -> Shown:
    return {"type": "input_text", "text": text}


def numbered_inputs(items: Sequence[Item], id: str) -> list[tuple[Shown, Item]]:
    """What a response was given, as shown and as it is; `id` has the hex digits of the exchange."""
    return [(shown(item, f"{id}_{number}"), item) for number, item in enumerate(items)]


def numbered_outputs(items: Sequence[Item], id: str, first: int, status: Status) -> list[tuple[Shown, Item]]:
    """The same of what it said. The message's number is `first` and the calls' follow, whether or not there is a
    message: so that a stream knows them before the answer is whole."""
    calls = first if items and isinstance(items[0], MessageItem) else first + 1
    return [(shown(item, f"{id}_{calls + place}", status), item) for place, item in enumerate(items)]


def without_a_call(items: Iterable[Item]) -> list[OutputItem]:
    """The outputs of functions that nobody has called before them, which a chat template may stumble over."""
    called: set[str] = set()
    found: list[OutputItem] = []
    for item in items:
        if isinstance(item, CallItem):
            called.add(item.call_id)
        elif isinstance(item, OutputItem) and item.call_id not in called:
            found.append(item)
    return found


def messages(items: Iterable[Item]) -> list[Message]:
    """The items as the model's chat template takes them. Assistant's messages of no text are left out, which vLLM
    would stumble over; calls become part of the message before them."""
    found: list[Message] = []
    for item in items:
        if isinstance(item, OutputItem):
            output = item.output if isinstance(item.output, str) else "\n".join(p.text for p in item.output)
            found.append(Message(role="tool", content=output, tool_call_id=item.call_id))
        elif isinstance(item, CallItem):
            if not (found and found[-1].role == "assistant"):
                found.append(Message(role="assistant"))
            call = ToolCall(item.call_id, CalledFunction(item.name, item.arguments))
            found[-1].tool_calls = [*(found[-1].tool_calls or ()), call]
        elif item.role == "assistant":
            if text := "".join(item.texts):
                found.append(Message(role="assistant", content=text))
        else:
            # Chat templates know no developer; vLLM's own Responses API takes one for the system too.
            role: Literal["system", "user"] = "user" if item.role == "user" else "system"
            found.append(Message(role=role, content="\n".join(item.texts)))
    return found
