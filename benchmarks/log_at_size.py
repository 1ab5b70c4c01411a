"""Writing and reading a log that is large.

    python -m benchmarks.log_at_size [--millions 1 10] [--callers 100] [--months 12] [--runs 200] [--plans]

PostgreSQL makes the exchanges itself, spread evenly over months and callers, in conversations of ten. Reads are the
repository's own, the insert is the writer's statement; each is timed alone, one after the other, from the client's side.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from hashlib import md5
from pathlib import Path
from random import Random
from statistics import quantiles
from uuid import UUID

import asyncpg
from pydantic import SecretStr
from sqlalchemy import event
from uuid_utils.compat import uuid7

from adapters.conversations.exchange import Exchange, Outcome
from adapters.conversations.partitions import FIRST, LAST, first_id, make_ahead
from adapters.conversations.repository import ExchangeRepository, Filters, insert_statement, row
from adapters.database.session import Connection, create_engine
from adapters.responses.conversation_list import ConversationList
from adapters.settings import LogSettings
from benchmarks.database import embedded_database
from benchmarks.processes import stop_in_order
from benchmarks.report import table

_TURNS = 10
_MOMENT = "$1::timestamptz + $2::interval * (({n}) / $3::float8)"
_AT_ONCE = 500_000


def _id(number: str) -> str:
    """SQL for an id (UUIDv7): the moment, and the number to tell it from others of that moment."""
    milliseconds = f"to_hex((extract(epoch FROM {_MOMENT.format(n=number)}) * 1000)::bigint)"
    return f"(lpad({milliseconds}, 12, '0') || '70008' || lpad(to_hex({number}), 15, '0'))::uuid"


_FILL = f"""
    INSERT INTO exchanges (id, conversation_id, parent_id, started_at, total_ms, caller, door, endpoint, model, outcome,
        finish_reason, metadata, parameters, input, answer, transcript_hash, words)
    SELECT {_id("n")}, {_id("n - $4::bigint * turn")}, CASE WHEN turn > 0 THEN {_id("n - $4::bigint")} END,
        {_MOMENT.format(n="n")}, 900, 'caller ' || n % $4::bigint, 'openai', '/v1/chat/completions', 'zephyr-7b-beta',
        'completed', 'stop', '{{}}', '{{"stream":true}}',
        json_build_array(json_build_object('role', 'user', 'content', question)),
        json_build_array(json_build_object('index', 0, 'role', 'assistant', 'content', answer, 'finish_reason', 'stop')),
        md5(n::text)::uuid, to_tsvector('simple', question || ' ' || answer)
    FROM (
        SELECT n, n / $4::bigint % {_TURNS} AS turn, 'question ' || n || repeat(' about lists', 8) AS question,
            'answer ' || n || repeat(' with some words of no great sense', 15) AS answer
        FROM generate_series($5::bigint, $6::bigint - 1) n
    ) AS made"""  # noqa: S608  # a number of ours


class Log:
    """A log of a given size."""

    def __init__(self, url: str, size: int, callers: int, months: int) -> None:
        self._url = url
        self._size = size
        self._callers = callers
        self._span = timedelta(days=30 * months)
        self._began = datetime.now(UTC) - self._span

    async def fill(self) -> float:
        """Make it, in place of what there is; exchanges a second."""
        connection = await asyncpg.connect(self._url)
        parts = await connection.fetch(
            "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'exchanges'::regclass"
        )
        for part in parts:
            await connection.execute(f"DROP TABLE {part['name']}")
        bound = first_id(self._began.replace(day=1, hour=0, minute=0, second=0, microsecond=0))
        for name, bounds in ((FIRST, f"(MINVALUE) TO ('{bound}')"), (LAST, f"('{bound}') TO (MAXVALUE)")):
            await connection.execute(f"CREATE TABLE {name} PARTITION OF exchanges FOR VALUES FROM {bounds}")
        await make_ahead(connection, datetime.now(UTC))
        began = time.monotonic()
        for start in range(0, self._size, _AT_ONCE):
            values = (
                self._began,
                self._span,
                float(self._size),
                self._callers,
                start,
                min(start + _AT_ONCE, self._size),
            )
            await connection.execute(_FILL, *values)
        seconds = time.monotonic() - began
        await connection.execute("VACUUM ANALYZE exchanges")
        await connection.close()
        return self._size / seconds

    def exchange(self, random: Random) -> Exchange:
        """One more, which goes on from one that is there."""
        number = random.randrange(self._size)
        id = uuid7()
        return Exchange(
            id=id,
            conversation_id=id,
            caller=f"caller {number % self._callers}",
            door="openai",
            endpoint="/v1/chat/completions",
            model="zephyr-7b-beta",
            input=b'[{"role": "user", "content": "and then?"}]',
            parameters=b"{}",
            answer=b'[{"index": 0, "role": "assistant", "content": "Then it ends.", "finish_reason": "stop"}]',
            outcome=Outcome.COMPLETED,
            started_at=datetime.now(UTC),
            total_ms=900.0,
            follows=UUID(md5(str(number).encode(), usedforsecurity=False).hexdigest()),
        )

    def moment(self, random: Random) -> datetime:
        """Any moment of the log, but for its end."""
        return self._began + self._span * random.random() * 0.99

    def caller(self, random: Random) -> str:
        """Any of the callers."""
        return f"caller {random.randrange(self._callers)}"


async def measure(url: str, log: Log, runs: int, plans: bool) -> list[list[str]]:
    """Rows of the table: what was done, and the middle and the 99th of a hundred times, in milliseconds."""
    random = Random(1)  # the same picks in every run
    engine = create_engine(LogSettings(database_url=SecretStr(url)))  # type: ignore[call-arg]  # the rest has defaults
    repository = ExchangeRepository(engine, page_bytes=8 * 2**20)
    conversations = ConversationList(repository)
    connection = await asyncpg.connect(url)
    seen: list[tuple[str, tuple[object, ...]]] = []
    event.listen(
        engine.sync_engine, "before_cursor_execute", lambda *given: seen.append((given[2], tuple(given[3])))
    )

    async def insert() -> None:
        await connection.execute(insert_statement(), *row(log.exchange(random)))

    async def newest() -> None:
        await repository.page(log.caller(random), filters=Filters(), limit=20)

    async def listed() -> None:
        await conversations.page(log.caller(random), limit=20)

    async def search() -> None:
        await repository.page(log.caller(random), filters=Filters(words="lists"), limit=20)

    async def conversation() -> None:
        caller = log.caller(random)
        pick = "SELECT conversation_id FROM exchanges WHERE caller = $1 AND id > $2 ORDER BY id LIMIT 1"
        some = await connection.fetchval(pick, caller, first_id(log.moment(random)))
        began.append(time.perf_counter())  # finding one to ask for does not count
        await repository.conversation(caller, some)

    rows = []
    began: list[float] = []
    work: dict[str, Callable[[], Awaitable[None]]] = {
        "insert, its parent found by transcript": insert,
        "newest 20 exchanges of a caller": newest,
        "newest 20 conversations of a caller": listed,
        "one conversation of 10": conversation,
        "search for a word in everything": search,
    }
    for name, one in work.items():
        times = []
        for _ in range(runs):
            began[:] = [time.perf_counter()]
            await one()
            times.append((time.perf_counter() - began[-1]) * 1000)
        cuts = quantiles(times, n=100)
        rows.append([name, f"{cuts[49]:.2f}", f"{cuts[98]:.2f}"])
        if plans:
            statement, values = (insert_statement(), row(log.exchange(random))) if one is insert else seen[-1]
            await _print_plan(connection, name, statement, values)
    await connection.close()
    await engine.dispose()
    return rows


async def _print_plan(connection: Connection, name: str, statement: str, values: Iterable[object]) -> None:
    print(f"\n{name}:")
    for line in await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS) {statement}", *values):
        print(f"    {line[0]}")


async def run(url: str, size: int, arguments: argparse.Namespace) -> None:
    """Make a log of this size, and print what it takes to use it."""
    log = Log(url, size, arguments.callers, arguments.months)
    rate = await log.fill()
    connection = await asyncpg.connect(url)
    query = "SELECT sum(pg_total_relation_size(inhrelid))::bigint FROM pg_inherits WHERE inhparent = 'exchanges'::regclass"
    bytes = await connection.fetchval(query)
    await connection.close()
    print(
        f"\n{size:,} exchanges, {bytes / 2**30:.2f} GiB, made by PostgreSQL at {rate:,.0f} a second\n",
        flush=True,
    )
    rows = await measure(url, log, arguments.runs, arguments.plans)
    print(table(["", "p50 ms", "p99 ms"], rows), flush=True)


def main() -> None:
    """Measure each size, and print."""
    stop_in_order()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--millions", type=float, nargs="+", default=[1.0], help="sizes of the log")
    parser.add_argument("--callers", type=int, default=100)
    parser.add_argument("--months", type=int, default=12)
    parser.add_argument("--runs", type=int, default=200, help="of each statement")
    parser.add_argument("--plans", action="store_true", help="print how PostgreSQL ran each")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as folder,
        embedded_database(Path(folder)) as database,
    ):
        for millions in arguments.millions:
            asyncio.run(run(database.url, round(millions * 1_000_000), arguments))


if __name__ == "__main__":
    main()
