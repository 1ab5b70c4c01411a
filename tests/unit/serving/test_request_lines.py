"""What the engine's own process says of a request."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest

from serving.engine.inside.zephyr_requests import RequestLines

ID = "01a228409d3d76f2b9b74143df9af5b7"
Message = MutableMapping[str, Any]


async def answering(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    if scope["path"] == "/crash":
        raise RuntimeError("a secret")
    await send({"type": "http.response.start", "status": 201})
    await send({"type": "http.response.body", "body": b"a secret"})


async def ask(path: str, **headers: str) -> list[str]:
    """Ask, and return the kinds of the messages that the client was sent."""
    sent: list[str] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"a secret"}

    async def send(message: Message) -> None:
        sent.append(message["type"])

    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "path": path, "query_string": b"a=secret", "headers": pairs}
    await RequestLines(answering)(scope, receive, send)
    return sent


async def test_a_request_with_an_id_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """With its path, status and trace, and nothing that was said."""
    sent = await ask("/v1/chat/completions", x_request_id=ID, traceparent=f"00-{'a' * 32}-{'b' * 16}-01")
    assert sent == ["http.response.start", "http.response.body"]
    (line,) = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert (told["request_id"], told["endpoint"], told["status"]) == (ID, "/v1/chat/completions", 201)
    assert told["trace_id"] == "a" * 32
    assert "secret" not in line


async def test_a_crash_is_told_without_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    """It goes on to vLLM, which answers for it; status 0 says that there was none yet."""
    with pytest.raises(RuntimeError):
        await ask("/crash", x_request_id=ID, traceparent=f"00-{'a' * 32}-{'b' * 16}-00")
    line = capsys.readouterr().out
    told = json.loads(line)
    assert (told["status"], "trace_id" in told, "secret" in line) == (0, False, False)


@pytest.mark.parametrize("name", ["", "a\tb", "x" * 65, "\xe9"])
async def test_what_is_no_id_is_no_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Probes have none; ours are hexadecimal."""
    assert await ask("/health", **({"x_request_id": name} if name else {}))
    assert capsys.readouterr().out == ""
