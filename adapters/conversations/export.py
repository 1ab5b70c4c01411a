"""The log as training data: conversations, and preferences between answers, a JSON object each.

The shapes are those that Hugging Face TRL calls conversational: `messages` for supervised fine-tuning, `prompt`, `chosen`
and `rejected` for preferences (https://huggingface.co/docs/trl/dataset_formats). One branch of a conversation is in memory
at a time.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from adapters.conversations.errors import ConversationTooLong, ExchangeNotFound
from adapters.conversations.exchange import ANSWERED, Exchange
from adapters.conversations.partitions import first_id
from adapters.conversations.repository import ExchangeRepository

_AT_ONCE = 1000  # ids that are looked up at a time
_LOWEST, _HIGHEST = UUID(int=0), UUID(int=2**128 - 1)
_ANSWERED = ", ".join(f"'{outcome}'" for outcome in ANSWERED)
_WANTED = f"""caller = $1 AND id > $2 AND id < $3 AND ($4::text IS NULL OR model = $4) AND outcome IN ({_ANSWERED})
        AND deleted_at IS NULL"""
_LEAVES = f"""
    SELECT id FROM exchanges AS one WHERE {_WANTED} AND NOT EXISTS (
        SELECT FROM exchanges AS next
        WHERE next.parent_id = one.id AND next.caller = one.caller AND next.outcome IN ({_ANSWERED})
            AND next.deleted_at IS NULL)
    ORDER BY id LIMIT {_AT_ONCE}"""  # noqa: S608  # constants of ours
_RATED = f"""
    SELECT id FROM exchanges WHERE {_WANTED} AND id IN (
        SELECT exchange_id FROM feedback WHERE caller = $1 AND rating = $5)
    ORDER BY id LIMIT {_AT_ONCE}"""  # noqa: S608
_PAIRS = f"""
    WITH judged AS (
        SELECT id, parent_id, rating, preferred_over, sha256(convert_to(input::text, 'UTF8')) AS question
        FROM (SELECT * FROM exchanges WHERE {_WANTED}) AS one
        JOIN (SELECT exchange_id AS id, rating, preferred_over FROM feedback WHERE caller = $1) AS given USING (id)
    ), pairs AS (
        SELECT good.id AS chosen, bad.id AS rejected FROM judged AS good JOIN judged AS bad USING (question)
        WHERE good.rating = 1 AND bad.rating = -1 AND good.parent_id IS NOT DISTINCT FROM bad.parent_id
        UNION SELECT id, preferred_over FROM judged WHERE preferred_over IS NOT NULL
    )
    SELECT chosen, rejected FROM pairs WHERE (chosen, rejected) > ($5, $6)
    ORDER BY chosen, rejected LIMIT {_AT_ONCE}"""  # noqa: S608

_MEMBERS = ("role", "content", "name", "tool_calls", "tool_call_id")  # an item of a response has others too

_RESPONSES = "/v1/responses"  # whose input may be a text, and the text of a message

Message = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What to export of one caller's log: what ended, or was preferred, in a time and by a model."""

    caller: str
    since: datetime | None = None
    until: datetime | None = None
    model: str | None = None
    rating: int | None = None
    """With it, the conversations up to each exchange that was rated so."""

    @property
    def values(self) -> tuple[str, UUID, UUID, str | None]:
        """Caller, bounds of the ids, and model, as the queries take them."""
        lowest = UUID(int=first_id(self.since).int - 1) if self.since else _LOWEST
        return self.caller, lowest, first_id(self.until) if self.until else _HIGHEST, self.model


class Export:
    """Goes through the log once; `skipped` tells what was left out."""

    def __init__(self, exchanges: ExchangeRepository) -> None:
        self._exchanges = exchanges
        self.skipped = 0
        """Branches that are too long to be read at once, hold something deleted, are no messages or no text."""

    async def conversations(self, wanted: Wanted) -> AsyncIterator[bytes]:
        """A line for each branch of a conversation, from its beginning to its last answer.

        Raises:
            LogUnavailable: the database is away.
        """
        async for end in self._ends(wanted):
            messages = await self._messages(wanted.caller, end)
            if messages is not None:
                yield _line({"messages": messages})

    async def preferences(self, wanted: Wanted) -> AsyncIterator[bytes]:
        """A line for each two answers to the same of which one was better: liked against disliked, or preferred.

        Raises:
            LogUnavailable: the database is away.
        """
        async for chosen, rejected in self._pairs(wanted):
            better = await self._messages(wanted.caller, chosen)
            worse = await self._messages(wanted.caller, rejected)
            if better is None or worse is None:
                continue
            if better[:-1] != worse[:-1]:
                self.skipped += 1  # they were not asked the same
                continue
            yield _line({"prompt": better[:-1], "chosen": better[-1:], "rejected": worse[-1:]})

    async def _ends(self, wanted: Wanted) -> AsyncIterator[UUID]:
        caller, lowest, highest, model = wanted.values
        query, rating = (_LEAVES, ()) if wanted.rating is None else (_RATED, (wanted.rating,))
        while found := await self._exchanges.rows(query, (caller, lowest, highest, model, *rating)):
            for row in found:
                yield row["id"]
            lowest = found[-1]["id"]

    async def _pairs(self, wanted: Wanted) -> AsyncIterator[tuple[UUID, UUID]]:
        last = (_LOWEST, _LOWEST)
        while found := await self._exchanges.rows(_PAIRS, (*wanted.values, *last)):
            for row in found:
                last = (row["chosen"], row["rejected"])
                yield last

    async def _messages(self, caller: str, end: UUID) -> list[Message] | None:
        """What was said up to and including the answer of an exchange; None where it cannot be told."""
        try:
            return messages_of(await self._exchanges.branch(caller, end))
        except (ConversationTooLong, ExchangeNotFound, NoMessages):
            self.skipped += 1
            return None


class NoMessages(Exception):
    """This is not a conversation of messages that ends with an answer, some of it was deleted, or no text can hold it."""


def messages_of(branch: Sequence[Exchange]) -> list[Message]:
    """The messages of a branch. What was never answered has left no trace in what was said after it; where something
    was deleted, nothing is there that could be told.

    Raises:
        NoMessages: there are none.
    """
    if branch[-1].outcome not in ANSWERED:
        raise NoMessages
    messages = _instructed(branch[-1])
    for exchange in branch:
        if exchange.outcome in ANSWERED:
            messages += [*_asked(exchange), _answered(exchange)]
    return messages


def _instructed(last: Exchange) -> list[Message]:
    """What a response was told beside the conversation. It holds for that one alone: those before were told their own."""
    if last.endpoint != _RESPONSES:
        return []
    instructions = _read(last.parameters).get("instructions")
    return [{"role": "system", "content": instructions}] if instructions else []


def _asked(exchange: Exchange) -> list[Message]:
    said = _read(exchange.input)
    if isinstance(said, str) and exchange.endpoint == _RESPONSES:
        return [{"role": "user", "content": said}]
    if not isinstance(said, list) or not all(isinstance(one, dict) and "role" in one for one in said):
        raise NoMessages
    return [
        {name: message[name] for name in _MEMBERS if name in message}
        | {"content": _text(message.get("content"))}
        for message in said
    ]


def _answered(exchange: Exchange) -> Message:
    choices = _read(exchange.answer or b"[]")
    if not choices:
        raise NoMessages
    answer: Message = {"role": "assistant", "content": _text(choices[0].get("content"))}
    if calls := choices[0].get("tool_calls"):
        answer["tool_calls"] = calls
    return answer


def _read(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        raise NoMessages from None


def _text(content: Any) -> str:
    """A message's content, its parts joined as vLLM joins them."""
    if isinstance(content, list):
        return "\n".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _line(value: object) -> bytes:
    return msgspec.json.encode(value) + b"\n"
