"""An answer while it is written."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

from adapters.access.client import Client
from adapters.completions import events
from adapters.completions.relay import Completions
from adapters.completions.stream import CompletionStream
from adapters.zephyr.answer import Answer, TokenCounts
from adapters.zephyr.question import Question
from adapters.zephyr.trimming import Trimming

NO_PROMPT = "The engine did not tell what the model saw: this is the answer alone."


class Streamed(Protocol):
    """An answer that comes in pieces: iterate over `deltas` to the end, then `answer` is there, and in the log."""

    answer: Answer

    def deltas(self) -> AsyncGenerator[str, None]:
        """The text piece by piece; together the pieces are the answer's `response`."""


class StreamedText:
    """The text of one generation."""

    answer: Answer

    def __init__(self, completions: Completions, question: Question, client: Client) -> None:
        self._completions = completions
        self._question = question
        self._client = client

    async def deltas(self) -> AsyncGenerator[str, None]:
        """The text piece by piece.

        Raises:
            GatewayError: the engine gave no answer, or broke.
        """
        stream = await self._completions.stream(self._question.generation, self._client)
        transcript = self._question.endpoint.answer == "transcript"
        trimming = None if transcript else Trimming()
        shown: list[str] = []
        async with aclosing(texts_of(stream, with_prompt=transcript)) as texts:
            async for text in texts:
                if piece := trimming.feed(text) if trimming else text:
                    shown.append(piece)
                    yield piece
        self.answer = self._whole("".join(shown), stream)

    def _whole(self, response: str, stream: CompletionStream) -> Answer:
        run, said = stream.run, stream.transcript
        warnings = self._question.warnings
        if self._question.endpoint.answer == "transcript" and said.prompt_text is None:
            warnings = (*warnings, NO_PROMPT)
        return Answer(
            response=response,
            id=run.generation.id,
            conversation=run.conversation_id,
            model=run.model,
            finish_reason=said.finish_reason,
            usage=TokenCounts.of(said.usage),
            warnings=warnings or None,
        )


async def texts_of(stream: CompletionStream, *, with_prompt: bool = False) -> AsyncGenerator[str, None]:
    """The text in a stream of the engine's events. The stream is closed at the end, whatever happened.

    Raises:
        GatewayError: the stream broke.
    """
    try:
        async for piece in stream:
            for chunk in events.chunks(piece):
                if with_prompt and chunk.prompt_text:
                    yield chunk.prompt_text
                for choice in chunk.choices:
                    if choice.delta is not None and choice.delta.content:
                        yield choice.delta.content
    finally:
        await stream.close()
    if stream.error is not None:
        raise stream.error
