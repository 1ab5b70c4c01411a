"""The list of conversations as clients read it; OpenAI's API has none."""

from typing import Literal
from uuid import UUID

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from adapters.conversations.schemas import ExchangeId
from adapters.responses.conversation_list import Listed, ListedPage
from adapters.responses.ids import conversation_id


class ConversationQuery(BaseModel):
    """Which conversations to list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(20, ge=1, le=100, description="Most conversations on the page.")
    after: ExchangeId | None = Field(None, description="The `last_id` of the page before.")


class ConversationView(BaseModel):
    """A conversation of one's own in which something was said: OpenAI's Conversation object, and what a list shows."""

    object: Literal["conversation"] = "conversation"
    id: str = Field(
        description="`conv_…` of those that `POST /v1/conversations` began; else the id of the first exchange. "
        "`GET /log/exchanges?conversation=` takes both."
    )
    title: str | None = Field(
        description="What you called it (`POST /log/conversations/{id}`), or the first words of the first message."
    )
    metadata: dict[str, str]
    created_at: int = Field(description="When the first exchange was accepted, in Unix time.")
    updated_at: int = Field(description="When the newest one was.")
    exchanges: int = Field(description="How many there are, in all branches.")
    last_exchange_id: UUID


class ConversationPage(BaseModel):
    """A page of conversations, the one with the newest exchange first."""

    object: Literal["list"] = "list"
    data: list[ConversationView]
    last_id: UUID | None = Field(
        description="Pass it as `after` to read on: the newest exchange of the last conversation on this page."
    )
    has_more: bool


def conversation_page(page: ListedPage) -> ConversationPage:
    """A page of conversations as clients read it."""
    data = [_view(one) for one in page.conversations]
    return ConversationPage(
        data=data, last_id=data[-1].last_exchange_id if data else None, has_more=page.has_more
    )


def _view(listed: Listed) -> ConversationView:
    return ConversationView(
        id=str(listed.id) if listed.metadata is None else conversation_id(listed.id),
        title=listed.title,
        metadata=msgspec.json.decode(listed.metadata or b"{}"),
        created_at=int(listed.created_at.timestamp()),
        updated_at=int(listed.updated_at.timestamp()),
        exchanges=listed.exchanges,
        last_exchange_id=listed.last_exchange_id,
    )
