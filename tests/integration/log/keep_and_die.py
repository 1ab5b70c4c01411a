"""Keeps three exchanges in a spool, says so, and is gone before it could do anything more."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from adapters.conversations.entries import encode
from adapters.conversations.spool import Spool
from adapters.conversations.spool_file import Record
from tests.databases import log_settings
from tests.records import an_exchange


async def _keep_and_die() -> None:
    spool = Spool(log_settings("postgresql://nobody@/nothing", spool_dir=Path(sys.argv[1])))
    exchanges = [an_exchange() for _ in range(3)]
    ids = "".join(f"{exchange.id}\n" for exchange in exchanges).encode()
    await spool.keep([Record(one.id, one.conversation_id, encode(one)) for one in exchanges])
    os.write(1, ids)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    asyncio.run(_keep_and_die())
