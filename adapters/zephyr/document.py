"""A document with fixed headings: its sections are written side by side and logged as one exchange."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from typing import Any

import msgspec
from uuid_utils.compat import uuid7

from adapters.access.client import Client
from adapters.completions.generation import Generation
from adapters.completions.relay import Completions
from adapters.completions.requests import Message
from adapters.completions.run import ExchangeLog, outcome_of
from adapters.conversations.errors import LogUnavailable
from adapters.conversations.exchange import Exchange, Outcome
from adapters.errors import GatewayError, ShuttingDown
from adapters.zephyr.answer import Answer, TokenCounts
from adapters.zephyr.endpoint import Section
from adapters.zephyr.question import Question, chat_request
from adapters.zephyr.section import WrittenSection

TOO_SMALL = "max_new_tokens is too small for every section: the last ones are empty."


class SectionLog:
    """Keeps the records of the sections, of which one exchange is made."""

    def __init__(self, log: ExchangeLog) -> None:
        self._log = log
        self.exchanges: list[Exchange] = []

    def require_ready(self) -> None:
        """Raise where nothing could be recorded now."""
        self._log.require_ready()

    def commit(self, exchange: Exchange) -> asyncio.Future[None]:
        """Keep it; the document's own record is the one that is made durable."""
        self.exchanges.append(exchange)
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        kept.set_result(None)
        return kept


class StreamedDocument:
    """Iterate over `deltas` to the end; then `answer` is there, and in the log."""

    answer: Answer

    def __init__(
        self, completions: Completions, log: ExchangeLog, question: Question, client: Client
    ) -> None:
        self._log = log
        self._records = SectionLog(log)
        self._completions = completions.recording_to(self._records)
        self._question = question
        self._client = client
        self._began = time.monotonic()
        self._shown: list[str] = []
        self._sections = list(_sections(question))

    async def deltas(self) -> AsyncGenerator[str, None]:
        """The document piece by piece, from its first heading to its end.

        Raises:
            GatewayError: a section broke, and the document with it; or it could not be logged.
        """
        generations = [section.generation for section in self._sections if section.generation is not None]
        async with self._completions.as_one(generations, self._question.generation.id, self._client) as path:
            work = asyncio.create_task(self._write(path), name="document")
            try:
                async for text in self._in_order():
                    self._shown.append(text)
                    yield text
                await work
            except GatewayError as error:
                await self._fail(error)
                raise
            except BaseException:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
                self._commit_broken(ShuttingDown())
                raise
        exchange = self._exchange("length" if self._cut else "stop")
        await self._log.commit(exchange)
        self.answer = self._answer(exchange)

    async def _write(self, path: Completions) -> None:
        """Write all sections; the first that breaks ends the others."""
        try:
            async with asyncio.TaskGroup() as group:
                for section in self._sections:
                    group.create_task(section.write(path, self._client))
        except ExceptionGroup as errors:
            broken = errors.subgroup(GatewayError)
            raise broken.exceptions[0] if broken else errors from None

    async def _in_order(self) -> AsyncGenerator[str, None]:
        for number, section in enumerate(self._sections):
            gap = "\n\n" if number else ""
            async for text in section.texts():
                yield gap + text
                gap = ""
            if not section.whole:
                return

    async def _fail(self, error: GatewayError) -> None:
        durable = self._commit_broken(error)
        if durable is not None:
            with suppress(LogUnavailable):
                await durable

    def _commit_broken(self, error: GatewayError) -> asyncio.Future[None] | None:
        """Record what was shown before the error, if the engine was asked at all."""
        if not self._records.exchanges:
            return None
        with suppress(LogUnavailable):  # the log says so itself
            return self._log.commit(self._exchange(None, error))
        return None

    @property
    def _cut(self) -> bool:
        parts = self._records.exchanges
        return len(parts) < len(self._sections) or any(part.finish_reason == "length" for part in parts)

    def _exchange(self, finish_reason: str | None, error: GatewayError | None = None) -> Exchange:
        """The one exchange of all that the sections recorded."""
        generation, parts = self._question.generation, self._records.exchanges
        firsts = [part.first_token_ms for part in parts if part.first_token_ms is not None]
        done = Outcome.LENGTH if finish_reason == "length" else Outcome.COMPLETED
        text, followed = "".join(self._shown), generation.followed
        document = Message(role="assistant", content=text)
        return msgspec.structs.replace(
            parts[0],
            id=generation.id,
            conversation_id=generation.conversation_id or generation.id,
            parent_id=generation.parent_id,
            input=generation.input,
            parameters=generation.parameters,
            answer=_logged(text, finish_reason),
            transcript_hash=followed.transcribed.with_answer(document) if followed and text else None,
            finish_reason=finish_reason,
            outcome=outcome_of(error) if error else done,
            error=error.detail() if error else None,
            prompt_tokens=_sum(part.prompt_tokens for part in parts),
            cached_tokens=_sum(part.cached_tokens for part in parts),
            completion_tokens=_sum(part.completion_tokens for part in parts),
            started_at=min(part.started_at for part in parts),
            first_token_ms=min(firsts, default=None),
            total_ms=(time.monotonic() - self._began) * 1000,
            metadata=generation.metadata,
        )

    def _answer(self, exchange: Exchange) -> Answer:
        empty = any(section.generation is None for section in self._sections)
        warnings = (*self._question.warnings, TOO_SMALL) if empty else self._question.warnings
        return Answer(
            response="".join(self._shown),
            id=exchange.id,
            conversation=exchange.conversation_id,
            model=exchange.model,
            finish_reason=exchange.finish_reason,
            usage=TokenCounts(
                prompt_tokens=exchange.prompt_tokens or 0, completion_tokens=exchange.completion_tokens or 0
            ),
            warnings=warnings or None,
        )


def _sections(question: Question) -> Iterator[WrittenSection]:
    sections = question.endpoint.sections
    share, rest = divmod(question.asked.max_new_tokens, len(sections))
    for number, section in enumerate(sections):
        budget = share + (number < rest)
        yield WrittenSection(section.heading, _generation(question, section, budget) if budget else None)


def _generation(question: Question, section: Section, budget: int) -> Generation:
    """One section's generation. What it asks comes last, so that all sections share the prefix before it."""
    *before, user = question.messages
    asking = Message(role="user", content=f"{user.content}\n\n{section.question}")
    return msgspec.structs.replace(
        question.generation,
        id=uuid7(),
        request=chat_request(question.endpoint, question.asked, (*before, asking), budget),
    )


def _logged(text: str, finish_reason: str | None) -> bytes | None:
    message: dict[str, Any] = {"index": 0, "role": "assistant", "content": text}
    return msgspec.json.encode([message | {"finish_reason": finish_reason}]) if text else None


def _sum(counts: Iterator[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
