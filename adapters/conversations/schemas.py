"""The log as clients read it. What was said is passed on as it was written: it is never parsed on the way out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from adapters.conversations.exchange import Exchange, Outcome
from adapters.conversations.feedback import Feedback
from adapters.conversations.repository import Filters, Page

_PREFIXES = ("chatcmpl-", "cmpl-", "resp_", "conv_")


def without_prefix(text: str) -> str:
    """The id of an exchange or a conversation without what OpenAI's API puts before it."""
    for prefix in _PREFIXES:
        text = text.removeprefix(prefix)
    return text


_OwnId = Annotated[
    UUID, BeforeValidator(lambda value: without_prefix(value) if isinstance(value, str) else value)
]
ExchangeId = Annotated[_OwnId, Field(description="An exchange's id; `chatcmpl-…` is taken as well.")]
ConversationId = Annotated[_OwnId, Field(description="A conversation's id; `conv_…` is taken as well.")]


TenantAsked = Annotated[
    str | None,
    Field(
        max_length=64,
        pattern=r"^[^\x00]*$",
        description="Of this tenant instead of your own; the key needs the scope `read_all`.",
    ),
]


class PageQuery(BaseModel):
    """Which exchanges to list."""

    model_config = ConfigDict(extra="forbid")

    tenant: TenantAsked = None
    limit: int = Field(20, ge=1, le=100, description="Most exchanges on the page; long ones make it shorter.")
    after: ExchangeId | None = Field(None, description="List what is older than this exchange.")
    conversation: ConversationId | None = Field(None, description="Only this conversation.")
    model: str | None = Field(
        None,
        max_length=512,
        pattern=r"^[^\x00]*$",
        description="Only this model, by the name that its answers have.",
    )
    outcome: Outcome | None = Field(None, description="Only exchanges that ended so.")

    def filters(self) -> Filters:
        """The same as the repository takes it."""
        return Filters(conversation_id=self.conversation, model=self.model, outcome=self.outcome)


class ExchangeView(BaseModel):
    """One request and what came of it. Texts are the JSON that was sent and received, unchanged."""

    object: Literal["exchange"] = "exchange"
    id: UUID
    conversation_id: UUID
    parent_id: UUID | None = Field(description="The exchange that this one continues.")
    door: str = Field(description="`openai` or `zephyr`.")
    endpoint: str
    model: str
    fingerprint: str | None = Field(description="The engine's `system_fingerprint`.")
    input: JsonValue = Field(description="The messages, or the prompt; only what is new to the conversation.")
    parameters: JsonValue = Field(description="What else the request asked for.")
    answer: JsonValue = Field(description="A message for each choice, as far as it came.")
    finish_reason: str | None
    outcome: Outcome
    error: JsonValue
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    started_at: datetime
    first_token_ms: float | None
    total_ms: float
    metadata: JsonValue
    stored: bool = Field(description="Whether the client asked for it to be stored (`store`).")
    deleted_at: datetime | None = Field(
        description="When what was said in it was deleted; null where it is there."
    )


class DeletedExchange(BaseModel):
    """What was said in this exchange is gone."""

    object: Literal["exchange.deleted"] = "exchange.deleted"
    id: UUID
    deleted: Literal[True] = True


class ConversationNamed(BaseModel):
    """What to call a conversation."""

    model_config = ConfigDict(extra="forbid")

    title: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")] | None = Field(
        description="`null` takes it back: the list shows the first words again."
    )


class ConversationNamedView(BaseModel):
    """A conversation that was renamed."""

    object: Literal["conversation"] = "conversation"
    id: UUID
    title: str | None


class DeletedConversation(BaseModel):
    """What was said in a conversation is gone, or some of it."""

    object: Literal["conversation.deleted"] = "conversation.deleted"
    id: UUID
    deleted: int = Field(description="Exchanges that this request deleted.")
    has_more: bool = Field(description="Whether there are more: then repeat the request.")


class FeedbackGiven(BaseModel):
    """What to change of the feedback on an exchange: only the members that are there. `null` takes one back."""

    model_config = ConfigDict(extra="forbid")

    rating: Annotated[int, Field(strict=True, ge=-1, le=1)] | None = Field(
        None, description="-1: bad, 0: neither, 1: good."
    )
    comment: Annotated[str, Field(max_length=4096, pattern=r"^[^\x00]*$")] | None = None
    preferred_over: ExchangeId | None = Field(
        None, description="Another answer in the same place of the conversation, which was worse."
    )

    def values(self) -> dict[str, object]:
        """The members that are there."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class FeedbackView(BaseModel):
    """What its caller thinks of an exchange."""

    object: Literal["feedback"] = "feedback"
    exchange_id: UUID
    rating: int | None
    comment: str | None
    preferred_over: UUID | None
    given_at: datetime | None = Field(description="When it was last changed; null where there is none.")


class ExchangeWithFeedback(ExchangeView):
    """One exchange, and what its caller thinks of it."""

    feedback: FeedbackView | None = Field(
        description="Null while it cannot be read: PostgreSQL is away, and the exchange was in the spool."
    )


class ExchangePage(BaseModel):
    """A page of the log, newest first."""

    object: Literal["list"] = "list"
    data: list[ExchangeWithFeedback]
    first_id: UUID | None
    last_id: UUID | None = Field(description="Pass it as `after` to read on.")
    has_more: bool


class SearchQuery(BaseModel):
    """What to look for."""

    model_config = ConfigDict(extra="forbid")

    tenant: TenantAsked = None
    q: str = Field(
        min_length=1,
        max_length=512,
        pattern=r"^[^\x00]*$",
        description="Words, all of which were said in the exchange; `or` between them, `-` before one, and quotes "
        "around several mean what they usually do.",
    )
    limit: int = Field(20, ge=1, le=100, description="Most exchanges on the page; long ones make it shorter.")
    after: ExchangeId | None = Field(None, description="List what is older than this exchange.")


class StatusView(BaseModel):
    """Where every exchange is that one gateway process was given."""

    accepted: int = Field(
        description="Exchanges, and answers kept for an `Idempotency-Key`, that the log was given; those of a "
        "process that ended included."
    )
    committed: int = Field(description="In PostgreSQL.")
    spooled: int = Field(description="On this machine's disk, waiting to be shipped to PostgreSQL.")
    refused: int = Field(description="Durable nowhere, and their clients were told so; or set aside.")
    lost: int = Field(
        description="Durable nowhere, though their clients were told that all is well (`best_effort`)."
    )
    waiting: int = Field(description="Durable nowhere yet; their clients wait.")
    oldest_unshipped: datetime | None = Field(description="When the oldest of the spooled ones was accepted.")
    database_away_since: datetime | None
    spool_problem: str | None = Field(description="Why nothing can be kept in the spool; null where it can.")


_FIELDS = [name for name in ExchangeView.model_fields if name != "object"]


def exchange_json(exchange: Exchange) -> bytes:
    """An `ExchangeView` as JSON."""
    return msgspec.json.encode(_view(exchange))


def exchange_with_feedback_json(exchange: Exchange, feedback: Feedback | None) -> bytes:
    """An `ExchangeWithFeedback` as JSON."""
    return msgspec.json.encode(_with_feedback(exchange, feedback))


def feedback_view(feedback: Feedback) -> dict[str, object]:
    """What makes a `FeedbackView`."""
    return {"object": "feedback", **asdict(feedback)}


def page_json(page: Page, feedback: Sequence[Feedback]) -> bytes:
    """An `ExchangePage` as JSON; `feedback` is that on each of its exchanges."""
    views = [_with_feedback(one, given) for one, given in zip(page.exchanges, feedback, strict=True)]
    return msgspec.json.encode(listed(views, has_more=page.has_more))


def listed(items: Sequence[Mapping[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """A page as OpenAI's API has it, of items that each have an `id`."""
    return {
        "object": "list",
        "data": list(items),
        "first_id": items[0]["id"] if items else None,
        "last_id": items[-1]["id"] if items else None,
        "has_more": has_more,
    }


def _with_feedback(exchange: Exchange, feedback: Feedback | None) -> dict[str, object]:
    return {**_view(exchange), "feedback": None if feedback is None else feedback_view(feedback)}


def _view(exchange: Exchange) -> dict[str, object]:
    values = {name: getattr(exchange, name) for name in _FIELDS}
    # Raw puts the text in as it is: duplicate keys, `\u0000` and lone surrogates included.
    texts = {name: msgspec.Raw(value) for name, value in values.items() if isinstance(value, bytes)}
    return {"object": "exchange", **values, **texts}
