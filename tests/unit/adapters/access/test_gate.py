"""The gate: ids for everything, refusals in shape, and a crash that tells nobody what was said."""

import json
from collections.abc import MutableMapping
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from adapters.access.gate import Gate, RequestIds
from adapters.errors import Overloaded
from adapters.keys.identity import Anybody
from adapters.refusals import install
from adapters.settings import ServerSettings

SECRET = "what a client said"


class Asked:
    """One request to an application, and the messages that it sent."""

    def __init__(self, type: str = "http", method: str = "POST", **headers: str) -> None:
        self.scope: MutableMapping[str, Any] = {
            "type": type,
            "method": method,
            "scheme": "http",
            "path": "/",
            "raw_path": b"/",
            "query_string": b"",
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        }
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        return {"type": "http.request", "body": b""}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = json.loads(self.sent[1]["body"])["error"]
        return error


async def fine(_: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def refusing(_: Scope, receive: Receive, send: Send) -> None:
    raise Overloaded


async def crashing(_: Scope, receive: Receive, send: Send) -> None:
    raise ValueError(SECRET)


async def crashing_late(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise ValueError(SECRET)


async def accepting(_: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept"})


async def ask(application: Any, asked: Asked, **settings: int | str) -> Asked:
    gate = Gate(application, ServerSettings(**settings), Anybody())  # type: ignore[arg-type]
    await RequestIds(gate)(asked.scope, asked.receive, asked.send)
    return asked


async def test_an_answer_gets_the_id_of_its_request() -> None:
    asked = await ask(fine, Asked())
    assert asked.sent[0]["headers"] == [(b"x-request-id", asked.scope["zephyr.request_id"].hex.encode())]


async def test_a_websocket_gets_one_too() -> None:
    asked = await ask(accepting, Asked("websocket"))
    assert asked.sent[0]["headers"][0][0] == b"x-request-id"


async def test_a_refusal_is_in_shape() -> None:
    asked = await ask(refusing, Asked())
    assert (asked.status, asked.error["code"]) == (503, "overloaded")
    assert (b"retry-after", b"1") in asked.sent[0]["headers"]


async def test_a_crash_is_in_shape_and_tells_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    asked = await ask(crashing, Asked())
    assert (asked.status, asked.error["type"]) == (500, "server_error")
    assert (b"x-should-retry", b"false") in asked.sent[0]["headers"]
    printed = capsys.readouterr()
    assert "ValueError" in printed.out + printed.err
    assert SECRET not in printed.out + printed.err + str(asked.sent)


async def test_a_crash_after_the_start_sends_no_second_start() -> None:
    """The server then breaks the connection, as there is no end."""
    asked = await ask(crashing_late, Asked())
    assert [message["type"] for message in asked.sent] == ["http.response.start"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content_length": "1025"}, 413),
        ({"content_length": "1024"}, 200),
        ({"content_length": "9" * 3000}, 413),
        ({"content_encoding": "gzip"}, 415),
        ({"content_encoding": "identity"}, 200),
        ({"x_long": "x" * 2000}, 431),
        ({"origin": "http://evil.example", "host": "localhost:8000"}, 403),
        ({"origin": "http://localhost:8000", "host": "evil.example"}, 403),
        ({"origin": "http://localhost:1", "host": "localhost:1"}, 200),
        ({"origin": "https://localhost:1", "host": "localhost:1"}, 403),
    ],
)
async def test_what_is_let_in(headers: dict[str, str], status: int) -> None:
    limits = {"max_body_bytes": 1024, "max_header_bytes": 1024 if "x_long" in headers else 8192}
    assert (await ask(fine, Asked(**headers), **limits)).status == status


async def test_reading_is_let_in_from_anywhere() -> None:
    assert (await ask(fine, Asked(method="GET", origin="http://evil.example"))).status == 200


async def test_a_crash_in_the_framework_is_logged_once(capsys: pytest.CaptureFixture[str]) -> None:
    api = FastAPI()
    install(api)

    @api.post("/")
    async def crash() -> None:
        raise ValueError(SECRET)

    asked = await ask(api, Asked())
    assert (asked.status, asked.error["type"]) == (500, "server_error")
    printed = capsys.readouterr()
    assert (printed.out + printed.err).count("a request crashed") == 1


async def test_a_websockets_crash_is_a_refusal_in_shape() -> None:
    asked = await ask(crashing, Asked("websocket"))
    assert asked.sent[0]["type"] == "websocket.http.response.start"
    assert (asked.status, asked.error["type"]) == (500, "server_error")
    assert asked.sent[0]["headers"][-1][0] == b"x-request-id"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "localhost.evil.example", "[::2]:1"])
async def test_a_foreign_name_is_refused(host: str) -> None:
    for kind in ("http", "websocket"):
        asked = await ask(fine, Asked(kind, "GET", host=host))
        assert (asked.status, asked.error["code"]) == (403, "host_not_allowed")
    assert (await ask(fine, Asked(host=host), host="0.0.0.0")).status == 200
