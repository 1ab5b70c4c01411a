"""What vLLM 0.32 puts on the wire: its answers, events and errors, byte for byte in its own shapes."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

MODEL = "scripted-model"
FINGERPRINT = "scripted-model@main-float32"
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """A function that the model asks for."""

    name: str
    arguments: str


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What an answer depends on in the request."""

    body: Json
    chat: bool
    request_id: str
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def id(self) -> str:
        return f"{'chatcmpl' if self.chat else 'cmpl'}-{self.request_id}"

    @property
    def stream(self) -> bool:
        return bool(self.body.get("stream"))

    @property
    def include_usage(self) -> bool:
        options = self.body.get("stream_options")
        return isinstance(options, dict) and bool(options.get("include_usage"))

    @property
    def counted(self) -> bool:
        """Whether every event tells the count so far."""
        options = self.body.get("stream_options")
        return (
            self.include_usage and isinstance(options, dict) and bool(options.get("continuous_usage_stats"))
        )

    @property
    def model(self) -> str:
        return str(self.body.get("model") or MODEL)

    @property
    def choices(self) -> int:
        n = self.body.get("n")
        return (n if isinstance(n, int) else 1) * len(self.prompts)

    @property
    def prompts(self) -> list[str]:
        """The texts that the model is given: one for a chat."""
        if self.chat:
            return [prompt_text(self.body)]
        prompt = self.body.get("prompt")
        return [str(part) for part in prompt] if isinstance(prompt, list) else [str(prompt)]

    @property
    def prompt_tokens(self) -> int:
        return sum(len(prompt.split()) for prompt in self.prompts)


def compact(value: object) -> bytes:
    """JSON as vLLM writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def event(value: object) -> bytes:
    """One server-sent event."""
    return b"data: " + compact(value) + b"\n\n"


def error(status: int, message: str, *, type: str = "BadRequestError", param: str | None = None) -> Json:
    """vLLM's error shape: its code is the HTTP status, its type a Python-like name."""
    return {"error": {"message": message, "type": type, "param": param, "code": status}}


def prompt_text(body: Json) -> str:
    """The chat rendered in the manner of Zephyr's template."""
    messages = body.get("messages")
    turns = (
        [f"<|{m['role']}|>\n{m.get('content')}</s>\n" for m in messages] if isinstance(messages, list) else []
    )
    return "".join(turns) + "<|assistant|>\n"


def last_user_text(body: Json) -> str:
    """The text that the last message, or the prompt, ends the request with."""
    messages = body.get("messages")
    if isinstance(messages, list) and messages:
        return str(messages[-1].get("content"))
    return str(body.get("prompt"))


def plain(
    asked: Asked, pieces: Sequence[str], finish_reason: str, tool_calls: Sequence[ToolCall], cached: int
) -> Json:
    """The whole answer of a request that does not stream, with every unset field as null."""
    answer: Json = {
        "id": asked.id,
        "object": "chat.completion" if asked.chat else "text_completion",
        "created": asked.created,
        "model": asked.model,
        "choices": [
            _plain_choice(asked, index, pieces, finish_reason, tool_calls) for index in range(asked.choices)
        ],
        "service_tier": None,
        "system_fingerprint": FINGERPRINT,
        "usage": usage(asked, len(pieces), cached) | {"completion_tokens_details": None},
    }
    if asked.chat:
        wanted = asked.body.get("return_prompt_text")
        answer |= {
            "prompt_logprobs": None,
            "prompt_token_ids": None,
            "prompt_text": prompt_text(asked.body) if wanted else None,
        }
    return answer | {"kv_transfer_params": None, "ec_transfer_params": None, "metrics": None}


def usage(asked: Asked, pieces: int, cached: int) -> Json:
    """How many tokens an answer took: a word of the prompt and a piece of the answer count as one each."""
    completion = pieces * asked.choices
    return {
        "prompt_tokens": asked.prompt_tokens,
        "total_tokens": asked.prompt_tokens + completion,
        "completion_tokens": completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def events(
    asked: Asked, pieces: Sequence[str], finish_reason: str, tool_calls: Sequence[ToolCall], cached: int
) -> Iterator[bytes]:
    """The events of a stream, in vLLM's order, made one by one so that an answer may be huge."""
    if asked.chat:
        yield from _openings(asked)
    deltas = _tool_deltas(tool_calls) if tool_calls else _text_deltas(asked, pieces)
    number = 0
    for number, delta in enumerate(deltas, 1):
        for index in range(asked.choices):
            yield event(_chunk(asked, [_stream_choice(asked, index, delta)]) | _so_far(asked, number))
    for index in range(asked.choices):
        last = _last_chunk(asked, index, "tool_calls" if tool_calls else finish_reason)
        yield event(last | _so_far(asked, number))
    if asked.include_usage:
        used = {"usage": usage(asked, len(pieces), cached), "system_fingerprint": FINGERPRINT}
        yield event(_chunk(asked, []) | used)
    yield DONE


def tokenized(body: Json) -> Json:
    """The answer of /tokenize: a word of the chat, the template's own among them, or of its tools, is a token."""
    tools = json.dumps(body["tools"]).split() if body.get("tools") else []
    words = [*prompt_text(body).split(), *tools]
    return {"count": len(words), "max_model_len": 4096, "tokens": list(range(len(words))), "token_strs": None}


def models(model: str) -> Json:
    """The answer of /v1/models, with the path that it gives away."""
    card = {
        "id": model,
        "object": "model",
        "created": 1_700_000_000,
        "owned_by": "vllm",
        "root": "/secret/path",
        "parent": None,
        "max_model_len": 4096,
        "permission": [],
    }
    return {"object": "list", "data": [card]}


def metrics(
    *,
    running: int,
    waiting: int,
    prompt_tokens: int,
    generation_tokens: int,
    kv_usage: float,
    first_tokens: int,
    first_token_seconds: float,
) -> bytes:
    """The answer of /metrics, as far as the gateway reads it."""
    labels = f'{{engine="0",model_name="{MODEL}"}}'
    rows = [
        ("gauge", "vllm:num_requests_running", "vllm:num_requests_running", running),
        ("gauge", "vllm:num_requests_waiting", "vllm:num_requests_waiting", waiting),
        ("gauge", "vllm:kv_cache_usage_perc", "vllm:kv_cache_usage_perc", kv_usage),
        ("counter", "vllm:prompt_tokens_total", "vllm:prompt_tokens_total", prompt_tokens),
        ("counter", "vllm:generation_tokens_total", "vllm:generation_tokens_total", generation_tokens),
    ]
    lines = [f"# TYPE {name} {kind}\n{sample}{labels} {float(value)}\n" for kind, name, sample, value in rows]
    first = "vllm:time_to_first_token_seconds"
    histogram = (
        f'# TYPE {first} histogram\n{first}_bucket{{le="+Inf",{labels[1:]} {float(first_tokens)}\n'
        f"{first}_count{labels} {float(first_tokens)}\n{first}_sum{labels} {first_token_seconds}\n"
    )
    return ("".join(lines) + histogram).encode()


def tokenizer_info() -> Json:
    """The answer of /tokenizer_info for a tokenizer like Zephyr's."""
    return {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "</s>",
        "additional_special_tokens": ["<unk>", "<s>", "</s>"],
        "added_tokens_decoder": {
            "0": {"content": "<unk>", "special": True},
            "1": {"content": "<s>", "special": True},
            "2": {"content": "</s>", "special": True},
        },
        "tokenizer_class": "LlamaTokenizerFast",
        "chat_template": (
            "{% for message in messages %}"
            "{{ '<|' + message['role'] + '|>\\n' + message['content'] + eos_token }}"
            "{% if loop.last and add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
            "{% endfor %}"
        ),
    }


def _plain_choice(
    asked: Asked, index: int, pieces: Sequence[str], finish_reason: str, tool_calls: Sequence[ToolCall]
) -> Json:
    tail: Json = {"stop_reason": None, "token_ids": None, "routed_experts": None}
    if not asked.chat:
        text = {"index": index, "text": "".join(pieces), "logprobs": None, "finish_reason": finish_reason}
        return text | tail | {"prompt_logprobs": None, "prompt_token_ids": None}
    return {
        "index": index,
        "message": _message(pieces, tool_calls),
        "logprobs": _logprobs(pieces) if asked.body.get("logprobs") else None,
        "finish_reason": "tool_calls" if tool_calls else finish_reason,
    } | tail


def _message(pieces: Sequence[str], tool_calls: Sequence[ToolCall]) -> Json:
    message: Json = {
        "role": "assistant",
        "content": None if tool_calls else "".join(pieces),
        "refusal": None,
        "annotations": None,
        "audio": None,
        "function_call": None,
    }
    if tool_calls:
        message["tool_calls"] = [
            {
                "id": f"chatcmpl-tool-{number}",
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for number, call in enumerate(tool_calls)
        ]
    return message | {"reasoning": None}


def _logprobs(pieces: Sequence[str]) -> Json:
    return {
        "content": [
            {"token": piece, "logprob": -0.25, "bytes": list(piece.encode()), "top_logprobs": []}
            for piece in pieces
        ]
    }


def _chunk(asked: Asked, choices: list[Json]) -> Json:
    return {
        "id": asked.id,
        "object": "chat.completion.chunk" if asked.chat else "text_completion",
        "created": asked.created,
        "model": asked.model,
        "choices": choices,
    }


def _so_far(asked: Asked, completion: int) -> Json:
    """The count of one choice in the middle of a stream, where it is asked for."""
    if not asked.counted:
        return {}
    prompt = asked.prompt_tokens
    count: Json = {
        "prompt_tokens": prompt,
        "total_tokens": prompt + completion,
        "completion_tokens": completion,
    }
    return {"usage": count | ({"completion_tokens_details": None} if asked.chat else {})}


def _openings(asked: Asked) -> Iterator[bytes]:
    wanted = asked.body.get("return_prompt_text")
    text = prompt_text(asked.body) if wanted else None
    for index in range(asked.choices):
        opening = {
            "index": index,
            "delta": {"role": "assistant", "content": ""},
            "logprobs": None,
            "finish_reason": None,
        }
        told = {"prompt_token_ids": None, "prompt_text": text}
        yield event(_chunk(asked, [opening]) | _so_far(asked, 0) | told)


def _text_deltas(asked: Asked, pieces: Sequence[str]) -> Iterator[Json]:
    for piece in pieces:
        if not asked.chat:
            yield {"text": piece, "logprobs": None}
        else:
            logprobs = _logprobs([piece]) if asked.body.get("logprobs") else None
            yield {"delta": {"content": piece}, "logprobs": logprobs}


def _tool_deltas(tool_calls: Sequence[ToolCall]) -> Iterator[Json]:
    for number, call in enumerate(tool_calls):
        opening = {
            "id": f"chatcmpl-tool-{number}",
            "type": "function",
            "index": number,
            "function": {"name": call.name},
        }
        yield {"delta": {"tool_calls": [opening]}, "logprobs": None}
        arguments = {"index": number, "function": {"arguments": call.arguments}}
        yield {"delta": {"tool_calls": [arguments]}, "logprobs": None}


def _stream_choice(asked: Asked, index: int, delta: Json) -> Json:
    ends: Json = {"finish_reason": None} | (
        {} if asked.chat else {"stop_reason": None, "prompt_token_ids": None}
    )
    return {"index": index} | delta | ends | {"token_ids": None}


def _last_chunk(asked: Asked, index: int, finish_reason: str) -> Json:
    text: Json = {"delta": {"content": ""}} if asked.chat else {"text": ""}
    ends: Json = {"logprobs": None, "finish_reason": finish_reason, "stop_reason": None}
    ids: Json = {"token_ids": None} if asked.chat else {"prompt_token_ids": None, "token_ids": None}
    stamp = {} if asked.include_usage else {"system_fingerprint": FINGERPRINT}
    return _chunk(asked, [{"index": index} | text | ends | ids]) | stamp
