"""The welcome page is made from the API's description."""

import shlex
import time
from typing import Any

import pytest

from adapters.engine.watch import EngineState, ServedModel
from adapters.observability.health import Part
from adapters.web.welcome import EndpointCard, Welcome, groups, spans, welcome

BASE = "http://localhost:8000/"
READY = EngineState(ready=True, models=(ServedModel(id="tiny"),), since=0.0, problem=None)
WELL = Part(ready=True, problem=None, seconds=0.0)


def described(**paths: Any) -> dict[str, Any]:
    info = {"title": "Zephyr", "version": "1.2", "description": "A gateway."}
    return {"info": info, "paths": {path.replace("_", "/"): operation for path, operation in paths.items()}}


def page(engine: EngineState = READY, **paths: Any) -> Welcome:
    return welcome(described(**paths), {"/live": "Live"}, engine, WELL, BASE)


def card(content: Welcome, path: str) -> EndpointCard:
    return next(card for card in content.endpoints if card.path == path)


def test_each_operation_and_each_socket_is_there_once_and_the_page_itself_is_not() -> None:
    operation = {"tags": ["Log"], "summary": "S", "description": "D\n  d"}
    content = page(_={"get": operation}, _a={"get": operation, "delete": operation})
    assert [(card.method, card.path) for card in content.endpoints] == [
        ("WS", "/live"),
        ("GET", "/a"),
        ("DELETE", "/a"),
    ]
    assert (card(content, "/a").summary, card(content, "/a").description) == ("S", "D d")
    assert card(content, "/live").example == "python -m websockets ws://localhost:8000/live"
    assert list(groups(content.endpoints)) == ["Statistics", "Log"]


def test_the_example_of_a_post_is_a_command_that_a_shell_takes() -> None:
    body = {"example": {"text": 'it\'s "odd" $HOME `x`\n', "n": 1}}
    content = page(_say={"post": {"requestBody": {"content": {"application/json": body}}}})
    command = shlex.split(card(content, "/say").example)
    assert command[:2] == ["curl", "http://localhost:8000/say"]
    assert command[-1] == '{"text": "it\'s \\"odd\\" $HOME `x`\\n", "n": 1}'


def test_the_example_of_a_delete_deletes_what_the_reader_names() -> None:
    content = page(_a={"delete": {}}, _b={"get": {}})
    assert card(content, "/a").example == "curl -X DELETE http://localhost:8000/a"
    assert card(content, "/b").example == "curl http://localhost:8000/b"


@pytest.mark.parametrize(
    ("state", "ready", "problem"),
    [
        (READY, True, None),
        (
            EngineState(since=time.monotonic(), problem="cannot be reached"),
            False,
            "The engine cannot be reached.",
        ),
    ],
)
def test_the_model_is_told_as_it_is(state: EngineState, ready: bool, problem: str | None) -> None:
    model = page(state).model
    assert (model.ready, model.problem) == (ready, problem)
    assert model.name == ("tiny" if ready else None)


def test_code_in_a_description_is_told_from_text() -> None:
    assert spans("a `b` c") == [(False, "a "), (True, "b"), (False, " c")]
