"""What the welcome page tells: what is served, and how it is called. Made from the API's own description."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from adapters.engine.watch import EngineState

MODEL_CARD = "https://huggingface.co/HuggingFaceH4/zephyr-7b-beta"
PAPER = "https://arxiv.org/abs/2310.16944"
_ORDER = ("Zephyr", "OpenAI", "Statistics", "Log", "Operation")
_IN_A_PAGE = 'new WebSocket("{}", ["zephyr", "key." + key])'
_METHODS = ("get", "post", "delete")


class EndpointCard(BaseModel):
    """One endpoint."""

    method: str = Field(examples=["POST"])
    path: str = Field(examples=["/zephyr/python"])
    group: str = Field(examples=["Zephyr"])
    summary: str
    description: str
    example: str = Field(description="A command that calls it.")


class ModelCard(BaseModel):
    """The model that answers."""

    name: str | None = Field(description="What the engine serves; null while that is not known.")
    ready: bool
    problem: str | None = Field(description="Why it is not ready.")


class Welcome(BaseModel):
    """The welcome page, for programs."""

    name: str
    version: str
    description: str
    model: ModelCard
    endpoints: list[EndpointCard]
    links: dict[str, str]


def welcome(
    description: Mapping[str, Any], sockets: Mapping[str, str], engine: EngineState, base: str
) -> Welcome:
    """The page's content.

    `description` is the OpenAPI document, `sockets` has a sentence for the path of each websocket, which OpenAPI
    cannot describe, and `base` is the server's address as the client wrote it.
    """
    base = base.rstrip("/")
    keys = "security" in description
    cards = [*_endpoints(description["paths"], base, keys=keys), *_sockets(sockets, base, keys=keys)]
    return Welcome(
        name=description["info"]["title"],
        version=description["info"]["version"],
        description=description["info"]["description"],
        model=ModelCard(
            name=engine.models[0].id if engine.models else None,
            ready=engine.ready,
            problem=f"The engine {engine.problem}." if engine.problem else None,
        ),
        endpoints=sorted(cards, key=_place),
        links={
            "documentation": f"{base}/docs",
            "openapi": f"{base}/openapi.json",
            "model card": MODEL_CARD,
            "paper": PAPER,
        },
    )


def spans(text: str) -> list[tuple[bool, str]]:
    """A description in parts, of which every second one is code: `like this`."""
    return [(bool(place % 2), part) for place, part in enumerate(text.split("`"))]


def groups(cards: Sequence[EndpointCard]) -> dict[str, list[EndpointCard]]:
    """The endpoints by their group."""
    found: dict[str, list[EndpointCard]] = {}
    for card in cards:
        found.setdefault(card.group, []).append(card)
    return found


def _place(card: EndpointCard) -> tuple[int, bool]:
    group = _ORDER.index(card.group) if card.group in _ORDER else len(_ORDER)
    return group, card.method != "POST"


def _endpoints(paths: Mapping[str, Any], base: str, *, keys: bool) -> Iterator[EndpointCard]:
    for path, operations in paths.items():
        for method in _METHODS:
            operation = operations.get(method)
            if operation is not None and path != "/":
                yield EndpointCard(
                    method=method.upper(),
                    path=path,
                    group=operation.get("tags", ["Operation"])[0],
                    summary=operation.get("summary", ""),
                    description=" ".join(operation.get("description", "").split()),
                    example=_curl(method, base + path, operation, keys=keys),
                )


def _sockets(sockets: Mapping[str, str], base: str, *, keys: bool) -> Iterator[EndpointCard]:
    for path, summary in sockets.items():
        address = base.replace("http", "ws", 1) + path
        yield EndpointCard(
            method="WS",
            path=path,
            group="Statistics",
            summary=summary,
            description="Send nothing; read a message of JSON about once a second.",
            example=_IN_A_PAGE.format(address) if keys else f"python -m websockets {address}",
        )


def _curl(method: str, url: str, operation: Mapping[str, Any], *, keys: bool) -> str:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    address = shlex.quote(url) if "{" in url else url
    if keys:
        address += ' -H "Authorization: Bearer $ZEPHYR_KEY"'
    if content is None:
        return f"curl {address}" if method == "get" else f"curl -X {method.upper()} {address}"
    body = shlex.quote(json.dumps(content["example"], ensure_ascii=False))
    return f"curl {address} \\\n  -H 'Content-Type: application/json' \\\n  -d {body}"
