"""What one conversation takes in PostgreSQL when every request repeats all of it, as chat completions do.

    python -m benchmarks.log_growth [--turns 10 100 1000]

Each turn goes through the gateway's own writer as its OpenAI door hands it over. Beside it the same requests are stored
whole, in a table like it. Rows and bytes are PostgreSQL's own, after a vacuum, indexes and long texts included.
"""

import argparse
import asyncio
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import asyncpg
from pydantic import SecretStr
from uuid_utils.compat import uuid7

from adapters.completions.requests import Message
from adapters.completions.threads import follow
from adapters.conversations.exchange import Exchange, Outcome
from adapters.conversations.writer import ExchangeWriter
from adapters.settings import LogSettings
from benchmarks.database import embedded_database
from benchmarks.processes import stop_in_order
from benchmarks.report import table

_CALLER = "local"
_WORDS = [
    "a",
    "list",
    "is",
    "mutable",
    "and",
    "ordered",
    "while",
    "tuple",
    "set",
    "dict",
    "value",
    "key",
    "index",
    "loop",
    "yields",
    "python",
    "returns",
    "error",
]
_QUESTION_WORDS, _ANSWER_WORDS = 25, 120


@dataclass(frozen=True)
class Size:
    """What a table takes."""

    rows: int
    bytes: int


def exchanges(turns: int, *, whole: bool) -> list[Exchange]:
    """One conversation as the gateway's door makes exchanges of its requests; `whole`: as if it knew no threads."""
    random = Random(1)  # texts that are the same in every run
    said: list[Message] = []
    made = []
    for _ in range(turns):
        said.append(Message(role="user", content=_text(random, _QUESTION_WORDS)))
        answer = Message(role="assistant", content=_text(random, _ANSWER_WORDS))
        made.append(_exchange(said, answer, whole))
        said.append(answer)
    return made


def _exchange(said: Sequence[Message], answer: Message, whole: bool) -> Exchange:
    followed = follow(_CALLER, said)
    repeated = 0 if whole else followed.repeated
    id = uuid7()
    return Exchange(
        id=id,
        conversation_id=id,
        caller=_CALLER,
        door="openai",
        endpoint="/v1/chat/completions",
        model="zephyr-7b-beta",
        input=_json(said[repeated:]),
        parameters=b'{"model":"zephyr-7b-beta","stream":true}',
        answer=json.dumps(
            [{"index": 0, "role": "assistant", "content": answer.content, "finish_reason": "stop"}]
        ).encode(),
        finish_reason="stop",
        outcome=Outcome.COMPLETED,
        started_at=datetime.now(UTC),
        total_ms=1000.0,
        transcript_hash=None if whole else followed.transcribed.with_answer(answer),
        follows=None if whole else followed.follows,
        earlier=_json(said[:repeated]) if repeated else None,
    )


def _json(messages: Sequence[Message]) -> bytes:
    return json.dumps([{"role": message.role, "content": message.content} for message in messages]).encode()


def _text(random: Random, words: int) -> str:
    return " ".join(random.choices(_WORDS, k=words))


async def size_of(url: str, turns: int, *, whole: bool) -> Size:
    """Write the conversation into the empty log, and look."""
    connection = await asyncpg.connect(url)
    await connection.execute("TRUNCATE exchanges")
    writer = ExchangeWriter(LogSettings(database_url=SecretStr(url), spool_dir=Path("/proc/no-spool")))  # type: ignore[call-arg]  # the rest has defaults
    await writer.start()
    for exchange in exchanges(turns, whole=whole):
        await writer.commit(exchange)
    await writer.close()
    await connection.execute("VACUUM ANALYZE exchanges")
    rows = await connection.fetchval("SELECT count(*) FROM exchanges")
    conversations = await connection.fetchval("SELECT count(DISTINCT conversation_id) FROM exchanges")
    if (rows, conversations) != (turns, turns if whole else min(turns, 1)):
        raise RuntimeError(f"{turns} turns became {rows} rows and {conversations} conversations")
    query = "SELECT sum(pg_total_relation_size(inhrelid))::bigint FROM pg_inherits WHERE inhparent = 'exchanges'::regclass"
    bytes = await connection.fetchval(query)
    await connection.close()
    return Size(rows, bytes)


async def compare(url: str, turns: Sequence[int]) -> str:
    """The table of sizes, in Markdown."""
    empty = await size_of(url, 0, whole=False)
    rows = []
    for number in turns:
        threaded = await size_of(url, number, whole=False)
        whole = await size_of(url, number, whole=True)
        kept, repeated = threaded.bytes - empty.bytes, whole.bytes - empty.bytes
        rows.append(
            [
                f"{number:,}",
                f"{threaded.rows:,}",
                f"{kept / 1024:,.0f}",
                f"{repeated / 1024:,.0f}",
                f"{repeated / kept:.1f}x",
            ]
        )
    return table(["turns", "rows", "KiB as threads", "KiB stored whole", "ratio"], rows)


def main() -> None:
    """Measure, and print the table."""
    stop_in_order()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, nargs="+", default=[10, 100, 1000])
    turns = parser.parse_args().turns
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as folder,
        embedded_database(Path(folder)) as database,
    ):
        print(asyncio.run(compare(database.url, turns)))


if __name__ == "__main__":
    main()
