"""What is reserved for a request."""

from typing import Any

import pytest

from adapters.completions.estimate import most_tokens
from adapters.completions.requests import ChatRequest, CompletionRequest, Message, Request


def _chat(**fields: Any) -> ChatRequest:
    return ChatRequest(messages=[Message(role="user", content="x")], **fields)


@pytest.mark.parametrize(
    ("request_", "size", "tokens"),
    [
        (_chat(), 400, 100 + 512),
        (_chat(max_tokens=7), 401, 101 + 7),
        (_chat(max_tokens=7, max_completion_tokens=9), 400, 100 + 9),
        (_chat(max_tokens=7, n=3), 400, 100 + 21),
        (CompletionRequest(prompt="x", max_tokens=7), 400, 100 + 7),
        (_chat(max_tokens=10_000_000, n=2), 10**6, 4096 + 2 * 4096),
    ],
)
def test_the_prompt_by_its_length_and_the_answers_as_allowed(
    request_: Request, size: int, tokens: int
) -> None:
    """Neither is more than the model's context has room for."""
    assert most_tokens(request_, size, assumed=512, context=4096) == tokens


def test_a_context_that_nobody_knows_bounds_nothing() -> None:
    """Until the engine has told of it."""
    assert most_tokens(_chat(max_tokens=10_000), 4, assumed=512, context=None) == 10_001
