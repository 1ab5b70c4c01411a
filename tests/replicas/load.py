"""Clients of a gateway: what they asked, and what they saw of an answer."""

import http.client
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.acceptance.gateway import seen_text

_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One answer as its client saw it."""

    question: str
    """Asked only once by anybody."""
    status: int | None
    """None where the connection broke before there was one."""
    text: str
    error: str | None
    """The code of an error in it, or instead of it."""
    seconds: float

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        if self.status is None:
            return "cut off"
        if self.error is None:
            return "whole"
        return f"broken ({self.error})" if self.status == 200 else f"refused ({self.error})"


def ask(
    url: str, messages: Sequence[dict[str, str]], *, stream: bool, max_tokens: int, key: str | None = None
) -> Seen:
    """Ask, and read to the end."""
    address = urlsplit(url)
    assert address.hostname is not None
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=_SECONDS)
    body = {"messages": messages, "stream": stream, "max_tokens": max_tokens, "temperature": 0}
    headers = {"content-type": "application/json"}
    if key is not None:
        headers["authorization"] = f"Bearer {key}"
    began = time.monotonic()
    status, text, error = None, "", None
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        with connection.getresponse() as response:
            status, content = response.status, response.read()
        text, error = _read(content, status, stream)
    except (OSError, http.client.HTTPException) as problem:
        error = type(problem).__name__
        status = None
    finally:
        connection.close()
    return Seen(
        question=messages[-1]["content"],
        status=status,
        text=text,
        error=error,
        seconds=time.monotonic() - began,
    )


def _read(content: bytes, status: int, stream: bool) -> tuple[str, str | None]:
    if status != 200:
        return "", json.loads(content)["error"]["code"]
    if not stream:
        return json.loads(content)["choices"][0]["message"]["content"], None
    text, errors = seen_text(content)
    unfinished = None if content.rstrip().endswith(b"data: [DONE]") else "no end"
    return text, errors[0]["code"] if errors else unfinished


@contextmanager
def clients(
    url: str, name: str, count: int, *, max_tokens: int, key: str | None = None
) -> Iterator[list[Future[Seen]]]:
    """So many clients that ask one question after the other, half of them streams, until the end of this.

    `name` makes their questions others than those of other clients.
    """
    asked: list[Future[Seen]] = []
    over = False

    def go(client: int) -> None:
        number = 0
        while not over:
            number += 1
            question = [{"role": "user", "content": f"{name}, client {client}, {number}: tell me a story."}]
            done: Future[Seen] = Future()
            asked.append(done)
            done.set_result(ask(url, question, stream=bool(client % 2), max_tokens=max_tokens, key=key))

    with ThreadPoolExecutor(count) as pool:
        running = [pool.submit(go, client) for client in range(count)]
        try:
            yield asked
        finally:
            over = True
        for one in running:
            one.result()


def endings(asked: Sequence[Future[Seen]]) -> str:
    """How many ended how."""
    return ", ".join(
        f"{ending} {count}" for ending, count in Counter(one.result().ending for one in asked).most_common()
    )
