"""How many tokens a request may use, before the engine has counted any."""

from adapters.completions.requests import ChatRequest, Request

_BYTES_A_TOKEN = 4  # of English; what the prompt has more than that is charged when the engine has counted it


def most_tokens(request: Request, size: int, *, assumed: int, context: int | None) -> int:
    """The tokens to reserve for a request that is `size` bytes long as the engine gets it.

    As OpenAI reserves the request's characters and its `max_tokens`
    (https://platform.openai.com/docs/guides/rate-limits): the prompt by its length, and for each choice as many as the
    client allows, or `assumed` where it does not say. Neither is more than the model's `context` has room for.
    """
    allowed = request.max_completion_tokens if isinstance(request, ChatRequest) else None
    answer = allowed or request.max_tokens or assumed
    prompt = -(-size // _BYTES_A_TOKEN)
    if context is not None:
        prompt, answer = min(prompt, context), min(answer, context)
    return prompt + answer * (request.n or 1)
