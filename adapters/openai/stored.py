"""Stored chat completions in OpenAI's shapes, made of the log's exchanges.

https://platform.openai.com/docs/api-reference/chat/object and /chat/list. What was said is passed on as it stands in the
log: it is never parsed further than its members.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar
from uuid import UUID

import msgspec
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from adapters.conversations.errors import ExchangeNotFound
from adapters.conversations.exchange import Exchange
from adapters.conversations.repository import Page

_PREFIX = "chatcmpl-"
_NULL = msgspec.Raw(b"null")
_NOTHING = (b"null", b'""')
_ECHOED = (
    *("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty", "tools", "tool_choice"),
    *("response_format", "service_tier"),
)
_Item = TypeVar("_Item")


class StoredCompletion(BaseModel):
    """A stored chat completion. What the request asked for is there as well: null where it left it to the model."""

    model_config = ConfigDict(extra="allow")

    id: str = Field(examples=["chatcmpl-019ab1a2b3c47d5e8f90a1b2c3d4e5f6"])
    object: Literal["chat.completion"]
    created: int = Field(description="Unix time.")
    model: str
    choices: list[JsonValue] = Field(description="As they were answered, without logprobs.")
    usage: JsonValue
    system_fingerprint: str | None
    metadata: dict[str, str]


class StoredCompletions(BaseModel):
    """A page of stored chat completions."""

    object: Literal["list"]
    data: list[StoredCompletion]
    first_id: str | None
    last_id: str | None = Field(description="Pass it as `after` to read on.")
    has_more: bool


class StoredMessage(BaseModel):
    """A message that a stored chat completion answers."""

    model_config = ConfigDict(extra="allow")

    id: str
    role: str
    content: str | None
    content_parts: JsonValue = Field(
        description="The parts, where the content came in parts; otherwise null."
    )


class StoredMessages(BaseModel):
    """A page of messages."""

    object: Literal["list"]
    data: list[StoredMessage]
    first_id: str | None
    last_id: str | None = Field(description="Pass it as `after` to read on.")
    has_more: bool


class DeletedCompletion(BaseModel):
    """What was said in this completion is gone."""

    id: str
    object: Literal["chat.completion.deleted"] = "chat.completion.deleted"
    deleted: Literal[True] = True


class _Message(msgspec.Struct, omit_defaults=True):
    """A message as the log has it."""

    role: str = ""
    content: msgspec.Raw = _NULL
    name: msgspec.Raw = msgspec.Raw()
    tool_calls: msgspec.Raw = msgspec.Raw()
    tool_call_id: msgspec.Raw = msgspec.Raw()


class _Choice(_Message):
    """An answer as the log has it."""

    index: int = 0
    reasoning: msgspec.Raw = msgspec.Raw()
    finish_reason: str | None = None


_inputs = msgspec.json.Decoder(str | list[_Message | str])
_choices = msgspec.json.Decoder(list[_Choice])
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def completion_id(exchange: Exchange) -> str:
    """The id that the answer had."""
    return f"{_PREFIX}{exchange.id.hex}"


def exchange_id(text: str, *, param: str) -> UUID:
    """The exchange of a completion's id.

    Raises:
        ExchangeNotFound: no completion can have this id.
    """
    digits = text.removeprefix(_PREFIX)
    try:
        id = UUID(digits)
    except ValueError:
        raise no_completion(param) from None
    if text != f"{_PREFIX}{id.hex}":
        raise no_completion(param)
    return id


def no_completion(param: str) -> ExchangeNotFound:
    """The refusal of an id that is not a stored completion's of this caller."""
    return ExchangeNotFound("There is no such stored chat completion.", param=param)


def completion(exchange: Exchange) -> dict[str, Any]:
    """A `StoredCompletion` to be encoded."""
    asked = _members.decode(exchange.parameters)
    return {
        "id": completion_id(exchange),
        "object": "chat.completion",
        "created": int(exchange.started_at.timestamp()),
        "model": exchange.model,
        "choices": [_choice(choice) for choice in _choices.decode(exchange.answer or b"[]")],
        "usage": _usage(exchange),
        "system_fingerprint": exchange.fingerprint,
        "metadata": msgspec.Raw(exchange.metadata),
        "request_id": exchange.id.hex,
        "input_user": asked.get("user", _NULL),
        **{name: asked.get(name, _NULL) for name in _ECHOED},
    }


def messages(branch: Sequence[Exchange]) -> list[dict[str, Any]]:
    """The `StoredMessage`s of the last exchange of a branch: what was said before it, and what it said itself."""
    said: list[_Message] = []
    for exchange in branch:
        if exchange.deleted_at is None:
            said += _input(exchange)
            if exchange is not branch[-1]:
                said += _choices.decode(exchange.answer or b"[]")[:1]  # the one that was gone on from
    id = completion_id(branch[-1])
    return [_message(f"{id}-{place}", one) for place, one in enumerate(said)]


def _input(exchange: Exchange) -> list[_Message]:
    """What was new in an exchange. A prompt of `/v1/completions`, which others may go on from, is what a user said."""
    said = _inputs.decode(exchange.input)
    texts = said if isinstance(said, list) else [said]
    return [
        one if isinstance(one, _Message) else _Message("user", msgspec.Raw(msgspec.json.encode(one)))
        for one in texts
    ]


def completions_json(page: Page) -> bytes:
    """A `StoredCompletions` as JSON."""
    return _page([completion(exchange) for exchange in page.exchanges], page.has_more)


def messages_json(
    items: Sequence[Mapping[str, Any]], *, after: str | None, limit: int, ascending: bool
) -> bytes:
    """A `StoredMessages` as JSON, of the messages that follow `after`.

    Raises:
        ExchangeNotFound: none of the messages is `after`.
    """
    ordered = list(items if ascending else reversed(items))
    ids = [item["id"] for item in ordered]
    if after is not None and after not in ids:
        raise ExchangeNotFound("There is no such message.", param="after")
    rest = ordered[ids.index(after) + 1 :] if after is not None else ordered
    return _page(rest[:limit], len(rest) > limit)


def _page(items: Sequence[Mapping[str, Any]], has_more: bool) -> bytes:
    ids = [item["id"] for item in items] or [None]
    return msgspec.json.encode(
        {"object": "list", "data": items, "first_id": ids[0], "last_id": ids[-1], "has_more": has_more}
    )


def _choice(choice: _Choice) -> dict[str, Any]:
    said = _present(choice, "tool_calls", "reasoning")
    # OpenAI's models say null, where ours says nothing and calls.
    content = _NULL if "tool_calls" in said and bytes(choice.content) in _NOTHING else choice.content
    return {
        "index": choice.index,
        "message": {"role": "assistant", "content": content, "refusal": None, **said},
        "logprobs": None,
        "finish_reason": choice.finish_reason,
    }


def _message(id: str, said: _Message) -> dict[str, Any]:
    in_parts = bytes(said.content).startswith(b"[")
    return {
        "id": id,
        "role": said.role,
        "content": _NULL if in_parts else said.content,
        "content_parts": said.content if in_parts else _NULL,
        **_present(said, "name", "tool_calls", "tool_call_id"),
    }


def _present(said: _Message, *names: str) -> dict[str, msgspec.Raw]:
    return {name: value for name in names if bytes(value := getattr(said, name))}


def _usage(exchange: Exchange) -> dict[str, Any] | None:
    prompt, completion = exchange.prompt_tokens, exchange.completion_tokens
    if prompt is None or completion is None:
        return None
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if exchange.cached_tokens is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": exchange.cached_tokens}
    return usage
