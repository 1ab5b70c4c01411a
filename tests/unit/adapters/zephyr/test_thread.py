"""A logged conversation, as the model is to see it when it goes on."""

import json
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest

from adapters.conversations.exchange import Exchange, Outcome
from adapters.conversations.repository import Conversation
from adapters.zephyr.thread import thread_of

ONE = Exchange(
    id=UUID(int=1),
    conversation_id=UUID(int=1),
    caller="local",
    door="zephyr",
    endpoint="/zephyr/python",
    model="m",
    input=b"[]",
    parameters=b"{}",
    outcome=Outcome.COMPLETED,
    started_at=datetime.now(UTC),
    total_ms=1.0,
)


def said(given: object, answer: str | None = "yes") -> Exchange:
    message = json.dumps([{"index": 0, "role": "assistant", "content": answer}]).encode()
    return msgspec.structs.replace(
        ONE, input=json.dumps(given).encode(), answer=message if answer is not None else None
    )


@pytest.mark.parametrize(
    ("given", "turns"),
    [
        ([{"role": "user", "content": "a"}], [("user", "a"), ("assistant", "yes")]),
        ("a prompt", [("user", "a prompt"), ("assistant", "yes")]),
        (["a prompt"], [("user", "a prompt"), ("assistant", "yes")]),
        (
            [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
            [("user", "ab"), ("assistant", "yes")],
        ),
        (
            [
                {"role": "assistant", "content": None, "tool_calls": [{}]},
                {"role": "tool", "content": "4"},
                {"role": "user"},
            ],
            [("user", ""), ("assistant", "yes")],
        ),
        ([{"role": "system", "content": "s"}], [("assistant", "yes")]),
    ],
)
def test_what_was_logged_becomes_turns(given: object, turns: list[tuple[str, str]]) -> None:
    thread = thread_of(Conversation(id=UUID(int=1), exchanges=[said(given)]))
    assert [(turn.role, turn.content) for turn in thread.turns] == turns


def test_the_last_system_message_counts() -> None:
    first = said([{"role": "system", "content": "a"}, {"role": "user", "content": "x"}])
    second = msgspec.structs.replace(
        said([{"role": "developer", "content": "b"}]), id=UUID(int=2), endpoint="/zephyr/raw"
    )
    thread = thread_of(Conversation(id=UUID(int=1), exchanges=[first, second]))
    assert (thread.system, thread.last_id, thread.endpoint) == ("b", UUID(int=2), "/zephyr/raw")


@pytest.mark.parametrize("answer", [None, ""])
def test_an_exchange_without_an_answer_leaves_no_turn(answer: str | None) -> None:
    given = [{"role": "user", "content": "a"}]
    thread = thread_of(Conversation(id=UUID(int=1), exchanges=[said(given, answer)]))
    assert thread.turns == ()


def test_a_conversation_in_which_nothing_was_answered_begins_anew() -> None:
    thread = thread_of(Conversation(id=UUID(int=7), exchanges=[]))
    assert (thread.conversation_id, thread.last_id, thread.turns) == (UUID(int=7), None, ())
