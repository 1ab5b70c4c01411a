"""How many tokens a request may use, before the engine has counted any."""

from adapters.completions.requests import ChatRequest, Request

_BYTES_A_TOKEN = 4  # of English; corrected when the engine has counted


def prompt_tokens(size: int) -> int:
    """About how many tokens the prompt has of a request that is `size` bytes long as the engine gets it."""
    return -(-size // _BYTES_A_TOKEN)


def allowed_tokens(request: Request) -> int | None:
    """How many tokens each choice may have; None where the client sets no bound."""
    allowed = request.max_completion_tokens if isinstance(request, ChatRequest) else None
    return allowed or request.max_tokens


def most_tokens(request: Request, size: int, *, assumed: int, context: int | None) -> int:
    """The tokens to reserve for a request that is `size` bytes long as the engine gets it.

    As OpenAI reserves the request's characters and its `max_tokens`
    (https://platform.openai.com/docs/guides/rate-limits): the prompt by its length, and for each choice as many as the
    client allows, or `assumed` where it does not say. Neither is more than the model's `context` has room for.
    """
    prompt, answer = prompt_tokens(size), allowed_tokens(request) or assumed
    if context is not None:
        prompt, answer = min(prompt, context), min(answer, context)
    return prompt + answer * (request.n or 1)
