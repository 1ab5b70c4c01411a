"""What clients may ask of the Responses API: an allow-list, as for chat completions.

https://platform.openai.com/docs/api-reference/responses/create. Only functions are taken as tools. Fields without effect
here (`reasoning`, `service_tier`, `prompt_cache_key` …) are taken and kept; a `null` is the same as leaving the field out.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from adapters.completions.requests import (
    ChatRequest,
    Function,
    FunctionChoice,
    FunctionName,
    JsonSchema,
    Message,
    Metadata,
    Name,
    ResponseFormat,
    Temperature,
    Tokens,
    Tool,
    ToolChoice,
    TopP,
    check_bounds,
)
from adapters.errors import InvalidRequest
from adapters.settings import RequestSettings

Text64 = Annotated[str, Meta(max_length=64)]
Text512 = Annotated[str, Meta(max_length=512)]
_ITEMS = {"type": "array", "items": {"type": "object"}}
Input = Annotated[
    msgspec.Raw, Meta(extra_json_schema={"anyOf": [{"type": "string"}, _ITEMS, {"type": "null"}]})
]
"""A text of the user, or items; read by `adapters.responses.items`, which names the place of what is wrong."""
_LOGPROBS = "message.output_text.logprobs"
_IN_CHAT = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format",
}


class FunctionTool(Struct, forbid_unknown_fields=True):
    """A function that the model may call."""

    type: Literal["function"]
    name: FunctionName
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None


class NamedTool(Struct, forbid_unknown_fields=True):
    """The function that the model must call."""

    type: Literal["function"]
    name: FunctionName


class TextFormat(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The form that the text must have."""

    type: Literal["text", "json_object", "json_schema"]
    name: FunctionName | None = None
    schema: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None


class TextConfig(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """How the text is to be."""

    format: TextFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Reasoning(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """How much to think; without effect here."""

    effort: Text64 | None = None
    summary: Text64 | None = None
    generate_summary: Text64 | None = None


class ConversationRef(Struct, forbid_unknown_fields=True):
    """A conversation."""

    id: Text64


class ResponseStreamOptions(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What a stream is to carry beside the text; without effect here."""

    include_obfuscation: bool | None = None


class PromptRequest(Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The body of `POST /v1/responses/input_tokens`: what the model is to see."""

    model: Name | None = None
    input: Input = msgspec.field(default_factory=lambda: msgspec.Raw(b"[]"))
    instructions: str | None = None
    conversation: Text64 | ConversationRef | None = None
    previous_response_id: Text64 | None = None
    tools: list[FunctionTool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    text: TextConfig | None = None
    reasoning: Reasoning | None = None
    truncation: Literal["auto", "disabled"] | None = None

    @property
    def written(self) -> bytes:
        """The input's JSON."""
        text = bytes(self.input)
        return b"[]" if text == b"null" else text

    @property
    def conversation_name(self) -> str | None:
        """The conversation's id as the client wrote it."""
        said = self.conversation
        return said.id if isinstance(said, ConversationRef) else said

    def check(self) -> None:
        """Check what one field alone does not tell.

        Raises:
            InvalidRequest: naming the field.
        """
        if self.conversation is not None and self.previous_response_id is not None:
            raise InvalidRequest(
                "Give either conversation or previous_response_id: a conversation says itself how it goes on.",
                param="previous_response_id",
                code="mutually_exclusive_parameters",
            )
        if self.truncation == "auto":
            raise InvalidRequest(
                "This server drops nothing from a conversation that is too long: only 'disabled' is taken.",
                param="truncation",
                code="unsupported_value",
            )
        form = self.text.format if self.text else None
        if form and form.type == "json_schema" and (form.name is None or form.schema is None):
            missing = "name" if form.name is None else "schema"
            raise InvalidRequest(
                f"The parameter 'text.format.{missing}' is missing.",
                param=f"text.format.{missing}",
                code="missing_parameter",
            )

    def chat(self, said: list[Message]) -> ChatRequest:
        """What the model is asked, after what has been said."""
        instructed = [Message(role="system", content=self.instructions)] if self.instructions else []
        return ChatRequest(
            messages=[*instructed, *said],
            model=self.model,
            tools=[_tool(tool) for tool in self.tools] if self.tools else None,
            tool_choice=self._tool_choice(),
            parallel_tool_calls=self.parallel_tool_calls if self.tools else None,
            response_format=_response_format(self.text.format if self.text else None),
        )

    def _tool_choice(self) -> Literal["none", "auto", "required"] | ToolChoice | None:
        choice = self.tool_choice
        if isinstance(choice, NamedTool):
            return ToolChoice("function", FunctionChoice(choice.name))
        # Without tools vLLM takes no choice among them, and OpenAI takes the harmless ones.
        return choice if self.tools or choice == "required" else None


class ResponseRequest(PromptRequest, kw_only=True):
    """The body of `POST /v1/responses`."""

    stream: bool | None = None
    stream_options: ResponseStreamOptions | None = None
    background: bool | None = None
    store: bool | None = None
    max_output_tokens: Tokens | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    metadata: Metadata | None = None
    user: Text512 | None = None
    safety_identifier: Text512 | None = None
    # Without effect here.
    include: Annotated[list[Text64], Meta(max_length=32)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    max_tool_calls: Annotated[int, Meta(ge=1)] | None = None
    service_tier: Text64 | None = None
    prompt_cache_key: Text512 | None = None
    prompt_cache_retention: Text64 | None = None

    @property
    def stored(self) -> bool:
        """Whether the response can be retrieved afterwards: so it is where nothing is said about it."""
        return self.store is not False

    def check(self) -> None:
        """Check what one field alone does not tell.

        Raises:
            InvalidRequest: naming the field.
        """
        super().check()
        if self.background and not self.stored:
            raise InvalidRequest(
                "A background response has to be stored: how else would it be had?", param="store"
            )
        if self.top_logprobs or _LOGPROBS in (self.include or ()):
            raise InvalidRequest(
                "The Responses API of this server gives no logprobs; chat completions do.",
                param="top_logprobs" if self.top_logprobs else "include",
                code="unsupported_parameter",
            )

    def chat(self, said: list[Message]) -> ChatRequest:
        """What the model is asked, after what has been said."""
        request = super().chat(said)
        request.max_completion_tokens = self.max_output_tokens
        request.temperature = self.temperature
        request.top_p = self.top_p
        request.store = self.stored
        return request

    def parameters(self) -> bytes:
        """JSON object: what the log keeps of the request beside input and metadata."""
        fields: dict[str, Any] = msgspec.structs.asdict(self)
        del fields["input"], fields["metadata"]
        return msgspec.json.encode({name: value for name, value in fields.items() if value is not None})


def check_chat(request: ChatRequest, settings: RequestSettings) -> None:
    """Check what a setting bounds.

    Raises:
        InvalidRequest: naming the field.
    """
    if not request.messages:
        raise InvalidRequest("There is nothing to answer.", param="input", code="missing_parameter")
    with in_own_words():
        check_bounds(request, settings)


@contextmanager
def in_own_words() -> Iterator[None]:
    """Name a field of the chat that was made of a request as the request calls it."""
    try:
        yield
    except InvalidRequest as error:
        error.param = _IN_CHAT.get(error.param or "", error.param)
        raise


def _tool(tool: FunctionTool) -> Tool:
    return Tool("function", Function(tool.name, tool.description, tool.parameters, tool.strict))


def _response_format(form: TextFormat | None) -> ResponseFormat | None:
    if form is None or form.type == "text":
        return None
    if form.type == "json_object":
        return ResponseFormat("json_object")
    assert form.name is not None
    return ResponseFormat("json_schema", JsonSchema(form.name, form.schema, form.description, form.strict))
