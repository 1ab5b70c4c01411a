"""The log as training data."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from adapters.conversations import export
from adapters.conversations.deletion import Deletion
from adapters.conversations.exchange import Exchange, Outcome, accepted_at
from adapters.conversations.export import Export, Wanted
from adapters.conversations.feedback import FeedbackRepository
from adapters.conversations.partitions import first_id
from adapters.conversations.repository import ExchangeRepository
from adapters.conversations.writer import ExchangeWriter
from tests.records import an_exchange

ROOT = Path(__file__).parents[3]


def turn(question: str, answer: str, parent: Exchange | None = None, **changes: object) -> Exchange:
    """An exchange that goes on from another."""
    place = {"conversation_id": parent.conversation_id, "parent_id": parent.id} if parent else {}
    said = {
        "input": json.dumps([{"role": "user", "content": question}]).encode(),
        "answer": json.dumps(
            [{"index": 0, "role": "assistant", "content": answer, "finish_reason": "stop"}]
        ).encode(),
    }
    return an_exchange(**said | place | changes)


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


async def write(writer: ExchangeWriter, *exchanges: Exchange) -> None:
    for exchange in exchanges:
        await writer.commit(exchange)


async def conversations(repository: ExchangeRepository, **wanted: Any) -> list[Any]:
    lines = [line async for line in Export(repository).conversations(Wanted(**{"caller": "local"} | wanted))]
    return [json.loads(line)["messages"] for line in lines]


async def preferences(repository: ExchangeRepository, **wanted: Any) -> list[Any]:
    return [
        json.loads(line)
        async for line in Export(repository).preferences(Wanted(**{"caller": "local"} | wanted))
    ]


async def test_each_branch_is_a_line(writer: ExchangeWriter, repository: ExchangeRepository) -> None:
    """From the beginning to the last answer; what failed has left no trace, and another's is not there."""
    root = turn("1", "one")
    left, right = turn("2", "two", root), turn("2", "TWO", root)
    end = turn("3", "three", right)
    failed = turn("4", "", end, outcome=Outcome.FAILED)
    await write(writer, root, left, right, end, failed, turn("5", "five", caller="them"))
    begin = [user("1"), assistant("one")]
    assert await conversations(repository) == [
        [*begin, user("2"), assistant("two")],
        [*begin, user("2"), assistant("TWO"), user("3"), assistant("three")],
    ]


async def test_more_than_is_looked_up_at_once(
    writer: ExchangeWriter, repository: ExchangeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every branch comes once, in the order of time."""
    exchanges = [turn(str(number), "") for number in range(7)]
    await write(writer, *exchanges)
    monkeypatch.setattr(export, "_LEAVES", export._LEAVES.replace("LIMIT 1000", "LIMIT 3"))
    assert [messages[0]["content"] for messages in await conversations(repository)] == list("0123456")


async def test_what_was_deleted_is_never_exported(
    writer: ExchangeWriter, repository: ExchangeRepository
) -> None:
    """Nor what cannot be understood without it; what was said before it is."""
    root = turn("1", "one")
    middle, other = turn("2", "two", root), turn("2", "TWO", root)
    last = turn("3", "three", middle)
    await write(writer, root, middle, other, last, gone := turn("4", "four"))
    feedback, deletion = FeedbackRepository(repository), Deletion(repository, writer.erase)
    await feedback.give("local", middle.id, {"rating": 1, "preferred_over": other.id})
    await feedback.give("local", other.id, {"rating": -1})
    assert len(await preferences(repository)) == 1
    for exchange in (middle, gone):
        await deletion.delete(exchange)
    everything = Export(repository)
    lines = [json.loads(line) async for line in everything.conversations(Wanted(caller="local"))]
    assert lines == [{"messages": [user("1"), assistant("one"), user("2"), assistant("TWO")]}]
    assert everything.skipped == 1
    assert await preferences(repository) == []


async def test_tool_calls_and_parts_are_kept(writer: ExchangeWriter, repository: ExchangeRepository) -> None:
    """Parts of a text become one text; calls of tools stay."""
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    asked = [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]
    said = [
        {"index": 0, "role": "assistant", "content": "", "tool_calls": [call], "finish_reason": "tool_calls"}
    ]
    await write(writer, an_exchange(input=json.dumps(asked).encode(), answer=json.dumps(said).encode()))
    assert await conversations(repository) == [
        [user("a\nb"), {"role": "assistant", "content": "", "tool_calls": [call]}]
    ]


async def test_hugging_face_reads_both(
    writer: ExchangeWriter,
    repository: ExchangeRepository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As its `datasets` gives them to a trainer: the same messages, whichever API they were said through."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import load_dataset

    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "2"}]}
    first = turn("1", "one")
    response = {"endpoint": "/v1/responses", "parameters": b'{"instructions": "Be kind."}'}
    better = turn("2", "good", first, **response, input=json.dumps([item]).encode())
    worse = turn("2", "bad", first, **response, input=b'"2"')
    await write(writer, first, better, worse)
    await FeedbackRepository(repository).give("local", better.id, {"preferred_over": worse.id})
    everything, wanted = Export(repository), Wanted(caller="local")
    expected = {
        "messages": [line async for line in everything.conversations(wanted)],
        "preferences": [line async for line in everything.preferences(wanted)],
    }
    for name, lines in expected.items():
        path = tmp_path / f"{name}.jsonl"
        path.write_bytes(b"".join(lines))
        read = load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path))
        assert read.to_list() == [json.loads(line) for line in lines]
    begin = [{"role": "system", "content": "Be kind."}, user("1"), assistant("one"), user("2")]
    assert [json.loads(line) for line in expected["preferences"]] == [
        {"prompt": begin, "chosen": [assistant("good")], "rejected": [assistant("bad")]}
    ]


async def test_what_is_no_conversation_is_left_out_and_counted(
    writer: ExchangeWriter, repository: ExchangeRepository
) -> None:
    """Prompts, texts that are none, and branches that are too long."""
    await write(
        writer,
        an_exchange(input=b'"a prompt"'),
        an_exchange(input=b'["a", "b"]'),
        an_exchange(input=b'[{"role": "user", "content": "\\ud83d"}]'),
        an_exchange(answer=None),
        turn("x" * 2**20, "long"),
        turn("fine", "yes"),
    )
    all_of_it = Export(repository)
    lines = [line async for line in all_of_it.conversations(Wanted(caller="local"))]
    assert [json.loads(line)["messages"][0]["content"] for line in lines] == ["fine"]
    assert all_of_it.skipped == 5


async def test_filters(writer: ExchangeWriter, repository: ExchangeRepository) -> None:
    """Time, model and rating are those of the last answer."""
    root = turn("1", "one", model="old")
    middle = turn("2", "two", root, model="new")
    last = turn("3", "three", middle, model="old")
    early = turn("0", "zero", id=first_id(accepted_at(UUID(int=root.id.int - (5000 << 80)))))
    await write(writer, root, middle, last, early)
    feedback = FeedbackRepository(repository)
    await feedback.give("local", middle.id, {"rating": 1})
    await feedback.give("local", root.id, {"rating": -1})
    assert [len(one) for one in await conversations(repository)] == [2, 6]
    since = accepted_at(UUID(int=root.id.int - (2000 << 80)))
    assert [len(one) for one in await conversations(repository, since=since)] == [6]
    assert [len(one) for one in await conversations(repository, until=since)] == [2]
    assert [len(one) for one in await conversations(repository, model="old")] == [6]
    assert await conversations(repository, model="new") == []
    (liked,) = await conversations(repository, rating=1)
    assert liked == [user("1"), assistant("one"), user("2"), assistant("two")]
    assert [len(one) for one in await conversations(repository, rating=-1)] == [2]
    assert await conversations(repository, rating=0) == []


async def test_preferences_have_the_shape_that_trl_reads(
    writer: ExchangeWriter, repository: ExchangeRepository
) -> None:
    """Lists of messages: the prompt ends with the user, both answers are one message of the assistant."""
    first, again = turn("1", "one"), turn("1", "ONE")
    better, worse, other = turn("2", "good", first), turn("2", "bad", first), turn("2?", "else", first)
    stray = turn("2", "bad", again)
    await write(writer, first, again, better, worse, other, stray)
    feedback = FeedbackRepository(repository)
    for exchange, rating in ((better, 1), (worse, -1), (other, -1), (stray, -1)):
        await feedback.give("local", exchange.id, {"rating": rating})
    await feedback.give("local", again.id, {"preferred_over": first.id})
    begin = [user("1"), assistant("one"), user("2")]
    everything = Export(repository)
    pairs = [json.loads(line) async for line in everything.preferences(Wanted(caller="local"))]
    assert everything.skipped == 0
    assert pairs == [
        {"prompt": [user("1")], "chosen": [assistant("ONE")], "rejected": [assistant("one")]},
        {"prompt": begin, "chosen": [assistant("good")], "rejected": [assistant("bad")]},
    ]
    for pair in pairs:
        assert pair["prompt"][-1]["role"] == "user"
        assert [[one["role"] for one in pair[name]] for name in ("chosen", "rejected")] == [["assistant"]] * 2


async def test_a_preference_is_told_once_and_taken_back(
    writer: ExchangeWriter, repository: ExchangeRepository
) -> None:
    """Liked and preferred are one pair; without feedback there is none."""
    one, two = turn("1", "one"), turn("1", "two")
    await write(writer, one, two)
    feedback = FeedbackRepository(repository)
    assert await preferences(repository) == []
    await feedback.give("local", one.id, {"rating": 1, "preferred_over": two.id})
    await feedback.give("local", two.id, {"rating": -1})
    assert len(await preferences(repository)) == 1
    assert await preferences(repository, caller="them") == []
    await feedback.give("local", one.id, {"rating": None, "preferred_over": None})
    assert await preferences(repository) == []


async def test_answers_to_different_questions_are_no_pair(
    writer: ExchangeWriter, repository: ExchangeRepository
) -> None:
    """One may prefer a branch in which one asked better; but then the answers cannot be compared."""
    root = turn("1", "one")
    better, worse = turn("2", "good", root), turn("two", "bad", root)
    await write(writer, root, better, worse)
    await FeedbackRepository(repository).give("local", better.id, {"preferred_over": worse.id})
    everything = Export(repository)
    assert [line async for line in everything.preferences(Wanted(caller="local"))] == []
    assert everything.skipped == 1


async def test_the_command_writes_lines(
    writer: ExchangeWriter, repository: ExchangeRepository, database_url: str
) -> None:
    """And says what it left out, where that does not mix with them."""
    one, two = turn("1", "one"), turn("1", "two")
    await write(writer, one, two, an_exchange(input=b'"a prompt"'))
    await FeedbackRepository(repository).give("local", one.id, {"preferred_over": two.id})
    done = run("messages", url=database_url)
    assert [json.loads(line)["messages"][1]["content"] for line in done.stdout.splitlines()] == ["one", "two"]
    assert done.stderr == "Left out, because they are no plain messages or too long: 1.\n"
    assert len(run("preferences", url=database_url).stdout.splitlines()) == 1
    assert run("messages", "--until", "2020-01-01", url=database_url).stdout == ""
    assert len(run("messages", "--since", "2020-01-01T00:00:00", url=database_url).stdout.splitlines()) == 2
    assert run("preferences", "--rating", "1", url=database_url).returncode == 2
    assert run("messages", "--rating", "2", url=database_url).returncode == 2


def run(*arguments: str, url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "adapters", "export", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
