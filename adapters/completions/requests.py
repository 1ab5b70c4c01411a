"""What may be asked of the engine, field by field. What is not listed here never reaches it.

The ranges are OpenAI's (https://platform.openai.com/docs/api-reference/chat) and, for vLLM's extensions,
those of vLLM 0.32. Fields that the engine ignores, or that only the log needs, are accepted and not passed on.
A `null` is the same as leaving the field out.
"""

from copy import copy
from typing import Annotated, Any, Literal, Self

import msgspec
from msgspec import Meta, Struct

from adapters.completions.markers import Markers
from adapters.completions.schemas import check_schema
from adapters.errors import InvalidRequest
from adapters.settings import RequestSettings

Name = Annotated[str, Meta(min_length=1, max_length=256)]
FunctionName = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_.-]{1,64}$(?!\n)")]
Temperature = Annotated[float, Meta(ge=0, le=2)]
TopP = Annotated[float, Meta(gt=0, le=1)]
TopK = Annotated[int, Meta(ge=-1, le=1_000_000)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Tokens = Annotated[int, Meta(ge=1, le=10_000_000)]
StopText = Annotated[str, Meta(min_length=1, max_length=128)]
Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]


class TextPart(Struct, forbid_unknown_fields=True):
    """A part of a message. Text is all that is taken."""

    type: Literal["text"]
    text: str


class CalledFunction(Struct):
    """The function of a tool call, with its arguments as JSON text."""

    name: FunctionName
    arguments: str


class ToolCall(Struct):
    """A call of a tool by the model, as it stands in a conversation."""

    id: Name
    function: CalledFunction
    type: Literal["function"] = "function"

    def neutralised(self, markers: Markers) -> "ToolCall":
        """The call with the markers in its texts broken. A function's name can hold none."""
        arguments = markers.neutralise(self.function.arguments)
        return ToolCall(markers.neutralise(self.id), CalledFunction(self.function.name, arguments))


class Message(Struct, omit_defaults=True):
    """One message. Members that are not listed are dropped: clients send back whole answers as history."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    name: Name | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: Name | None = None

    def joined(self) -> "Message":
        """The message with the parts of its text as one, joined as vLLM joins them."""
        if isinstance(self.content, list):
            return msgspec.structs.replace(self, content="\n".join(part.text for part in self.content))
        return self

    def neutralised(self, markers: Markers) -> "Message":
        """The message with the markers in all its texts broken."""
        return Message(
            role=self.role,
            content=_neutralised_content(self.content, markers),
            name=markers.neutralise_all(self.name),
            tool_calls=self.tool_calls and [call.neutralised(markers) for call in self.tool_calls],
            tool_call_id=markers.neutralise_all(self.tool_call_id),
        )


class Function(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A function that the model may call."""

    name: FunctionName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Struct, forbid_unknown_fields=True):
    """A tool that the model may call."""

    type: Literal["function"]
    function: Function

    def neutralised(self, markers: Markers) -> "Tool":
        """The tool with the markers in its texts broken."""
        function = self.function
        return Tool(
            self.type,
            Function(
                function.name,
                markers.neutralise_all(function.description),
                markers.neutralise_all(function.parameters),
                function.strict,
            ),
        )


class FunctionChoice(Struct, forbid_unknown_fields=True):
    """The name of a function."""

    name: FunctionName


class ToolChoice(Struct, forbid_unknown_fields=True):
    """The tool that the model must call."""

    type: Literal["function"]
    function: FunctionChoice


class JsonSchema(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A schema that the answer must follow."""

    name: FunctionName
    schema: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The form that the answer must have."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What a stream is to carry beside the text."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class _CountedOptions(StreamOptions):
    """The same with an extension of vLLM that clients cannot ask for."""

    continuous_usage_stats: bool = False


_AT_THE_END = StreamOptions(include_usage=True)
_COUNTED = _CountedOptions(include_usage=True, continuous_usage_stats=True)


class Sampling(Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What chat completions and completions have in common."""

    model: Name | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    max_tokens: Tokens | None = None
    n: Annotated[int, Meta(ge=1)] | None = None
    stop: StopText | Annotated[list[StopText], Meta(max_length=4)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: (
        Annotated[
            dict[
                Annotated[str, Meta(pattern=r"^[0-9]{1,7}$(?!\n)")], Annotated[float, Meta(ge=-100, le=100)]
            ],
            Meta(max_length=300),
        ]
        | None
    ) = None
    # Extensions of vLLM that people use through the SDK's `extra_body`, and that touch nobody else's request.
    top_k: TopK | None = None
    min_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Meta(gt=0, le=10)] | None = None
    # For the log, or without effect here; not passed on.
    user: Annotated[str, Meta(max_length=512)] | None = None
    metadata: Metadata | None = None
    store: bool | None = None
    service_tier: Annotated[str, Meta(max_length=64)] | None = None
    safety_identifier: Annotated[str, Meta(max_length=512)] | None = None
    prompt_cache_key: Annotated[str, Meta(max_length=512)] | None = None

    def for_engine(self, model: str, *, counted: bool = False) -> Self:
        """What goes to the engine: its own name for the model, and no field that only the log needs.

        With `counted` each event of a stream is to say how many tokens there are so far, for one that may be cut off.
        """
        request = copy(self)
        request.model = model
        # The count of tokens belongs into the log, whether or not the client asked for it.
        request.stream_options = (_COUNTED if counted else _AT_THE_END) if self.stream else None
        request.user = request.metadata = request.store = None
        request.service_tier = request.safety_identifier = request.prompt_cache_key = None
        return request


def _neutralised_content(
    content: str | list[TextPart] | None, markers: Markers
) -> str | list[TextPart] | None:
    if isinstance(content, list):
        return [TextPart(part.type, markers.neutralise(part.text)) for part in content]
    return content and markers.neutralise(content)


class ChatRequest(Sampling, kw_only=True):
    """The body of `POST /v1/chat/completions`."""

    messages: Annotated[list[Message], Meta(min_length=1)]
    max_completion_tokens: Tokens | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    response_format: ResponseFormat | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    parallel_tool_calls: bool | None = None

    def for_engine(self, model: str, *, counted: bool = False) -> Self:
        """What goes to the engine; parts of a text as one, so that no template makes a marker of two of them."""
        request = super().for_engine(model, counted=counted)
        if any(isinstance(message.content, list) for message in self.messages):
            request.messages = [message.joined() for message in self.messages]
        return request

    def neutralise(self, markers: Markers) -> None:
        """Break the markers in every text that the chat template puts before the model."""
        self.messages = [message.neutralised(markers) for message in self.messages]
        if self.tools:
            self.tools = [tool.neutralised(markers) for tool in self.tools]


class ChatRequestWithPrompt(ChatRequest, kw_only=True):
    """A chat request whose answer is to carry the prompt as the model saw it. Never made from a client's body."""

    return_prompt_text: bool


class CompletionRequest(Sampling, kw_only=True):
    """The body of `POST /v1/completions`: the prompt goes to the model as it is, markers included."""

    prompt: str | Annotated[list[str], Meta(min_length=1, max_length=1)]
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None

    def neutralise(self, markers: Markers) -> None:
        """Leave the prompt alone: whoever calls this endpoint writes the markers himself."""


Request = ChatRequest | CompletionRequest


def check_bounds(request: Request, settings: RequestSettings) -> None:
    """Check what a setting bounds.

    Raises:
        InvalidRequest: naming the field.
    """
    if isinstance(request.n, int) and request.n > settings.max_choices:
        raise InvalidRequest(f"At most {settings.max_choices} choices are made at once.", param="n")
    if not isinstance(request, ChatRequest):
        return
    if len(request.messages) > settings.max_messages:
        raise InvalidRequest(f"At most {settings.max_messages} messages are taken.", param="messages")
    if isinstance(request.tools, list) and len(request.tools) > settings.max_tools:
        raise InvalidRequest(f"At most {settings.max_tools} tools are taken.", param="tools")
    for field in ("tools", "response_format"):
        if value := getattr(request, field):
            check_schema(field, value, settings.max_schema_bytes)
