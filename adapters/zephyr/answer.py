"""What an endpoint answers with."""

from typing import Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from adapters.completions.events import Usage


class TokenCounts(BaseModel):
    """Tokens, counted by the engine."""

    prompt_tokens: int
    completion_tokens: int

    @classmethod
    def of(cls, usage: Usage | None) -> Self | None:
        """The same in the answer's words."""
        if usage is None:
            return None
        return cls(prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens or 0)


class Answer(BaseModel):
    """The answer of a /zephyr endpoint."""

    model_config = ConfigDict(frozen=True)

    response: str = Field(description="The text.")
    id: UUID = Field(description="Under this id the exchange stands in the log.")
    conversation: UUID = Field(description="Send it as `conversation` to continue.")
    model: str = Field(description="The model that wrote it.")
    finish_reason: str | None = Field(
        None, description="`stop` when the model had finished, `length` when `max_new_tokens` cut it off."
    )
    usage: TokenCounts | None = None
    warnings: tuple[str, ...] | None = Field(None, description="What was not done as asked, if anything.")

    def json_object(self) -> bytes:
        """The answer as JSON, on one line."""
        return self.model_dump_json(exclude_none=True).encode()
