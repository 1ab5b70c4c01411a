"""Pages of items. https://platform.openai.com/docs/api-reference/responses/input-items"""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from adapters.conversations.schemas import listed
from adapters.responses.errors import ItemNotFound
from adapters.responses.items import Shown

Include = Annotated[
    list[str] | None, Field(alias="include[]", max_length=32, description="Without effect here.")
]


class ItemsQuery(BaseModel):
    """Which items to list."""

    limit: int = Field(20, ge=1, le=100, description="Most items on the page; long ones make it shorter.")
    order: Literal["asc", "desc"] = Field("desc", description="`desc`: the newest first.")
    after: str | None = Field(None, max_length=128, description="List what follows this item.")
    include: Include = None


def page_of(items: Sequence[Shown], query: ItemsQuery) -> Shown:
    """The page of these items, which are in the order in which they came.

    Raises:
        ItemNotFound: there is no item `after`.
    """
    ordered = list(items) if query.order == "asc" else list(reversed(items))
    start = 0
    if query.after is not None:
        start = 1 + next((n for n, item in enumerate(ordered) if item["id"] == query.after), len(ordered))
        if start > len(ordered):
            raise ItemNotFound(param="after")
    return listed(ordered[start : start + query.limit], has_more=len(ordered) > start + query.limit)
