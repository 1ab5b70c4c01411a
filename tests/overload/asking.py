"""One request on a connection of its own, and what its client saw of it and when."""

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Literal

from tests.acceptance.gateway import chat

Kind = Literal["answered", "refused", "broken"]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What came of a request. Times are seconds from when it was sent, or should have been."""

    kind: Kind
    status: int
    first: float
    """Until the first byte of the body."""
    whole: float
    retry_after: bool
    shaped: bool
    """Whether an error has the API's shape."""


def request(text: str, **fields: object) -> bytes:
    """The bytes of a chat request that is the only one on its connection."""
    body = json.dumps(chat(text, **fields)).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"connection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def ask(port: int, text: str, due: float | None = None) -> Seen:
    """Ask for a stream and read it to its end. With `due`, time counts from then: who had to wait to ask has waited."""
    began = time.monotonic() if due is None else due
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return _seen(b"", b"", began, began)
    try:
        writer.write(request(text, stream=True))
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.read(1)
        first = time.monotonic()
        body += await reader.read()
    except (OSError, asyncio.IncompleteReadError):
        return _seen(b"", b"", began, began)
    finally:
        writer.close()
    return _seen(head, body, began, first)


def _seen(head: bytes, body: bytes, began: float, first: float) -> Seen:
    status = int(head.split(b" ", 2)[1]) if head else 0
    whole = status == 200 and b"data: [DONE]" in body
    return Seen(
        kind="answered" if whole else "refused" if status in (429, 503) else "broken",
        status=status,
        first=first - began,
        whole=time.monotonic() - began,
        retry_after=b"\r\nretry-after: " in head.lower(),
        shaped=status >= 400 and set(json.loads(body)["error"]) == {"message", "type", "param", "code"},
    )
