"""Commits three exchanges, says so, and is gone before it could do anything more."""

import asyncio
import os
import signal

from adapters.conversations.writer import ExchangeWriter
from adapters.observability import logs
from tests.databases import log_settings
from tests.records import an_exchange


async def _commit_and_die() -> None:
    writer = ExchangeWriter(log_settings(os.environ["DATABASE_URL"]))
    await writer.start()
    exchanges = [an_exchange() for _ in range(3)]
    ids = "".join(f"{exchange.id}\n" for exchange in exchanges).encode()
    await asyncio.gather(*(writer.commit(exchange) for exchange in exchanges))
    os.write(1, ids)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    logs.configure()
    asyncio.run(_commit_and_die())
