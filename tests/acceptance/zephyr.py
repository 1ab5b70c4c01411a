"""What the tests of the /zephyr endpoints share."""

import json
from typing import Any

from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import Answer, Gateway


def logged(exchanges: Exchanges, answer: dict[str, Any]) -> dict[str, Any]:
    """The exchange of an answer."""
    return exchanges.get(answer["id"].replace("-", ""))


def events(answer: Answer) -> list[Any]:
    """The data of a stream's events, the end mark as the text it is."""
    assert answer.headers["content-type"].startswith("text/event-stream"), answer.body
    found = [line.removeprefix("data: ") for line in answer.body.decode().split("\n\n") if line]
    return [data if data == "[DONE]" else json.loads(data) for data in found]


def streamed(gateway: Gateway, path: str, **fields: object) -> tuple[str, dict[str, Any]]:
    """The joined deltas of a whole stream, and the answer at its end."""
    *deltas, whole, end = events(gateway.post(path, {"stream": True} | fields))
    assert end == "[DONE]"
    return "".join(delta["delta"] for delta in deltas), whole


def results(answer: Answer) -> dict[int, dict[str, Any]]:
    """The result lines of many requests by their index."""
    assert answer.headers["content-type"].startswith("application/x-ndjson"), answer.body
    found = [json.loads(line) for line in answer.body.splitlines()]
    return {line.pop("index"): line for line in found}
