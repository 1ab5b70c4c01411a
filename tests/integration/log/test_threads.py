"""Stateless requests come back from a real PostgreSQL as the conversations and branches that they were."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from adapters.completions.requests import Message
from adapters.completions.threads import follow
from adapters.conversations.exchange import Exchange
from adapters.conversations.repository import insert_statement, row
from adapters.conversations.writer import ExchangeWriter
from tests.databases import fetch, log_settings
from tests.records import an_exchange

TEXTS = st.sampled_from(["hi", "hi ", "Hi", "", "</s><|user|>\nhi", "\u00fc", "\u0000", '"hi"', "a" * 3000])


@dataclass(frozen=True)
class Turn:
    """One exchange as a client makes it."""

    id: UUID
    caller: str
    parent: "Turn | None"
    question: str
    answer: str

    @property
    def history(self) -> list[dict[str, Any]]:
        """All that was said, as the client would send it back."""
        before = self.parent.history if self.parent else []
        said = [{"role": "user", "content": self.question}, {"role": "assistant", "content": self.answer}]
        return [*before, *said]

    @property
    def root(self) -> "Turn":
        return self.parent.root if self.parent else self

    def exchange(self) -> Exchange:
        """What the gateway makes of its request and its answer."""
        sent = self.history[:-1]
        followed = follow(self.caller, [Message(**message) for message in sent])
        repeated = followed.repeated
        return an_exchange(
            id=self.id,
            caller=self.caller,
            input=json.dumps(sent[repeated:]).encode(),
            earlier=json.dumps(sent[:repeated]).encode() if repeated else None,
            answer=json.dumps([{"content": self.answer}]).encode(),
            follows=followed.follows,
            transcript_hash=followed.transcribed.with_answer(Message(role="assistant", content=self.answer)),
        )


@st.composite
def forests(draw: st.DrawFn) -> list[list[Turn]]:
    """Conversations of up to three callers, in steps; what is in one step happens at once."""
    callers = [f"caller {uuid4()}" for _ in range(3)]
    done: list[Turn] = []
    steps: list[list[Turn]] = []
    for _ in range(draw(st.integers(1, 6))):
        step: list[Turn] = []
        for _ in range(draw(st.integers(1, 4))):
            caller = draw(st.sampled_from(callers))
            own = [turn for turn in done if turn.caller == caller]
            parent = draw(st.sampled_from([None, *own]))
            # Answers differ, as a model's do: two conversations of the same words are one, for everybody.
            answer = f"answer {len(done) + len(step)}"
            step.append(Turn(uuid7(), caller, parent, draw(TEXTS), answer))
        done += step
        steps.append(step)
    return steps


@given(forests())
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_forest_comes_back_as_it_was(database_url: str, steps: list[list[Turn]]) -> None:
    """Parents, conversations and branches are those of the clients, and nothing that was said is stored twice."""
    turns = [turn for step in steps for turn in step]
    asyncio.run(_write(database_url, steps))
    query = "SELECT id, caller, parent_id, conversation_id, input::text FROM exchanges WHERE id = ANY($1)"
    rows = {row["id"]: row for row in asyncio.run(fetch(database_url, query, [turn.id for turn in turns]))}
    assert len(rows) == len(turns)
    for turn in turns:
        row = rows[turn.id]
        assert row["caller"] == turn.caller
        assert row["parent_id"] == (turn.parent.id if turn.parent else None)
        assert row["conversation_id"] == turn.root.id
        assert json.loads(row["input"]) == [{"role": "user", "content": turn.question}]


async def _write(url: str, steps: list[list[Turn]]) -> None:
    writer = ExchangeWriter(log_settings(url))
    await writer.start()
    for step in steps:
        await asyncio.gather(*(writer.commit(turn.exchange()) for turn in step))
    await writer.close()


async def test_nobody_joins_the_conversation_of_another(writer: ExchangeWriter, database_url: str) -> None:
    """Also where both said and were told the very same."""
    first = Turn(uuid7(), "alice", None, "hello", "hi")
    await writer.commit(first.exchange())
    copied = Turn(uuid7(), "mallory", Turn(uuid7(), "mallory", None, "hello", "hi"), "and now?", "ha")
    await writer.commit(copied.exchange())
    (row,) = await fetch(
        database_url, "SELECT parent_id, conversation_id, input::text FROM exchanges WHERE id = $1", copied.id
    )
    assert (row["parent_id"], row["conversation_id"]) == (None, copied.id)
    assert json.loads(row["input"]) == copied.history[:-1]


async def test_a_history_that_nobody_knows_is_stored_whole(writer: ExchangeWriter, database_url: str) -> None:
    """A client that brings its own past, or has edited it, begins a conversation with all of it."""
    turn = Turn(uuid7(), "local", Turn(uuid7(), "local", None, "from elsewhere", "indeed"), "go on", "well")
    await writer.commit(turn.exchange())
    (row,) = await fetch(database_url, "SELECT parent_id, input::text FROM exchanges")
    assert row["parent_id"] is None
    assert json.loads(row["input"]) == turn.history[:-1]


async def test_the_newest_of_two_that_said_the_same_is_gone_on_from(
    writer: ExchangeWriter, database_url: str
) -> None:
    """A client that asks twice, and is told the same, goes on from the second."""
    for _ in range(2):
        last = Turn(uuid7(), "local", None, "hello", "hi")
        await writer.commit(last.exchange())
    after = Turn(uuid7(), "local", last, "more", "yes")
    await writer.commit(after.exchange())
    (row,) = await fetch(database_url, "SELECT parent_id FROM exchanges WHERE id = $1", after.id)
    assert row["parent_id"] == last.id


@pytest.mark.parametrize("analysed", [True, False])
async def test_a_parent_is_found_without_walking_the_log(database_url: str, analysed: bool) -> None:
    """By the plan of the very statement, for any values, with statistics and without; where there is nothing to go on
    from nothing is looked at."""
    async with (
        asyncpg.create_pool(database_url, min_size=1, max_size=1) as pool,
        pool.acquire() as connection,
    ):
        await connection.execute(
            """INSERT INTO exchanges (id, conversation_id, started_at, total_ms, caller, door, endpoint, model, outcome,
                   metadata, parameters, input, transcript_hash)
               SELECT u, u, now(), 1, 'local', 'openai', '/', 'm', 'completed', '{}', '{}', '[]', u
               FROM (SELECT gen_random_uuid() AS u FROM generate_series(1, 20000)) AS made"""
        )
        if analysed:
            await connection.execute("ANALYZE exchanges")
        await connection.execute("SET plan_cache_mode = force_generic_plan")  # as after some executions
        await connection.execute(f"PREPARE writing AS {insert_statement()}")
        for follows in (None, uuid4()):
            values = ", ".join(map(literal, row(an_exchange(follows=follows))))
            lines = await connection.fetch(f"EXPLAIN (ANALYZE) EXECUTE writing ({values})")
            plan = "\n".join(line[0] for line in lines)
            assert "Seq Scan" not in plan
            assert "Rows Removed by Filter" not in plan
            assert "transcript_hash_id" in plan
            assert ("never executed" in plan) == (follows is None), plan


def literal(value: object) -> str:
    """A value as SQL writes it."""
    return "NULL" if value is None else "'" + str(value).replace("'", "''") + "'"
