"""What the welcome page tells: what is served, and how it is called. Made from the API's own description."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from adapters.engine.watch import EngineState
from adapters.observability.health import Part
from adapters.web.examples import call_in_each_language, listen_in_each_language

MODEL_CARD = "https://huggingface.co/HuggingFaceH4/zephyr-7b-beta"
PAPER = "https://arxiv.org/abs/2310.16944"
_ORDER = ("Zephyr", "OpenAI", "Statistics", "Log", "Operation")
_METHODS = ("get", "post", "delete")


class EndpointCard(BaseModel):
    """One endpoint."""

    method: str = Field(examples=["POST"])
    path: str = Field(examples=["/zephyr/python"])
    group: str = Field(examples=["Zephyr"])
    summary: str
    description: str
    example: str = Field(description="A command that calls it.")
    examples: dict[str, str] = Field(description="The same in `curl`, `Python` and `JavaScript`.")


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
    description: Mapping[str, Any], sockets: Mapping[str, str], engine: EngineState, log: Part, base: str
) -> Welcome:
    """The page's content.

    `description` is the OpenAPI document, `sockets` has a sentence for the path of each websocket, which OpenAPI
    cannot describe, and `base` is the server's address as the client wrote it.
    """
    base = base.rstrip("/")
    missing = [f"The engine {engine.problem}."] if engine.problem else []
    if not log.ready:  # then nothing is generated either
        missing.append(log.problem or "The log is not ready.")
    keys = needs_keys(description)
    cards = [*_endpoints(description["paths"], base, keys=keys), *_sockets(sockets, base, keys=keys)]
    return Welcome(
        name=description["info"]["title"],
        version=description["info"]["version"],
        description=description["info"]["description"],
        model=ModelCard(
            name=engine.models[0].id if engine.models else None,
            ready=engine.ready and log.ready,
            problem=" ".join(missing) or None,
        ),
        endpoints=sorted(cards, key=_place),
        links={
            "chat": f"{base}/chat/",
            **({"metrics": f"{base}/metrics"} if "/metrics" in description["paths"] else {}),
            "documentation": f"{base}/docs",
            "openapi": f"{base}/openapi.json",
            "model card": MODEL_CARD,
            "paper": PAPER,
        },
    )


def needs_keys(description: Mapping[str, Any]) -> bool:
    """Whether the OpenAPI document says that calls need a key."""
    return "security" in description


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
                yield _card(
                    method=method.upper(),
                    path=path,
                    group=operation.get("tags", ["Operation"])[0],
                    summary=operation.get("summary", ""),
                    description=" ".join(operation.get("description", "").split()),
                    examples=call_in_each_language(
                        method.upper(), base + path, _example_body(operation), keys=keys
                    ),
                )


def _sockets(sockets: Mapping[str, str], base: str, *, keys: bool) -> Iterator[EndpointCard]:
    for path, summary in sockets.items():
        yield _card(
            method="WS",
            path=path,
            group="Statistics",
            summary=summary,
            description="Send nothing; read a message of JSON about once a second.",
            examples=listen_in_each_language(base.replace("http", "ws", 1) + path, keys=keys),
        )


def _card(examples: dict[str, str], **values: str) -> EndpointCard:
    return EndpointCard(example=examples["curl"], examples=examples, **values)


def _example_body(operation: Mapping[str, Any]) -> object:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    return None if content is None else content["example"]
