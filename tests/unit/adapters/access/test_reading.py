"""A wrong request body is refused in terms that its sender understands."""

import re

import msgspec
import pytest

from adapters.access.reading import read
from adapters.completions.requests import ChatRequest, check_bounds
from adapters.errors import InvalidRequest
from adapters.settings import RequestSettings

decoder = msgspec.json.Decoder(ChatRequest)


def said(**fields: object) -> bytes:
    """A request body."""
    return msgspec.json.encode({"messages": [{"role": "user", "content": "x"}]} | fields)


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        (b"{}", "messages", "missing_parameter"),
        (b'{"messages": [{}]}', "messages[...].role", "missing_parameter"),
        (said(cache_salt=1), "cache_salt", "unknown_parameter"),
        (
            said(tools=[{"type": "function", "function": {"name": "a", "x": 1}}]),
            "tools[...].function.x",
            "unknown_parameter",
        ),
        (said(temperature=3), "temperature", "invalid_value"),
        (b'{"messages": [{"role": "user", "content": 5}]}', "messages[...].content", "invalid_value"),
        (said(logit_bias={"x": 1}), "logit_bias", "invalid_value"),
        (b"[]", None, "invalid_value"),
        (b"", None, "invalid_json"),
        (b'{"messages": [}', None, "invalid_json"),
        (b'{"model": "\xed\xa0\x80"}', None, "invalid_json"),
        (b'{"metadata": {"a": ' + b"[" * 50_000, "metadata[...]", "invalid_value"),
        (
            b'{"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"a": '
            + b"[" * 50_000,
            None,
            "invalid_json",
        ),
    ],
)
def test_complaint_names_the_field(body: bytes, param: str | None, code: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(decoder, body)
    told = re.sub(r"\[\d+\]", "[...]", caught.value.param) if caught.value.param else None
    assert (told, caught.value.code) == (param, code)
    assert caught.value.status == 400


def test_what_reaches_the_engine_has_its_model_and_no_log_fields() -> None:
    request = read(decoder, said(user="u", metadata={"a": "b"}, store=True, stream=True, top_k=5))
    sent = msgspec.json.decode(msgspec.json.encode(request.for_engine("true-name")))
    assert sent == {
        "model": "true-name",
        "messages": [{"role": "user", "content": "x"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "top_k": 5,
    }
    assert request.user == "u", "the request itself stays as it was, for the log"


BOUNDS = RequestSettings(max_messages=2, max_choices=2, max_tools=2, max_schema_bytes=2048)


@pytest.mark.parametrize(
    ("field", "bounds"),
    [
        ("n", {"max_choices": 1}),
        ("messages", {"max_messages": 1}),
        ("tools", {"max_tools": 1}),
        ("response_format", {"max_schema_bytes": 1024}),
    ],
)
def test_settings_bound_a_request(field: str, bounds: dict[str, int]) -> None:
    """What is within every bound passes, and each bound names its field."""
    schema = {"name": "a", "schema": {"x": "y" * 1500}}
    body = said(
        messages=[{"role": "user", "content": "x"}] * 2,
        n=2,
        tools=[{"type": "function", "function": {"name": "a"}}] * 2,
        response_format={"type": "json_schema", "json_schema": schema},
    )
    request = read(decoder, body)
    check_bounds(request, BOUNDS)
    with pytest.raises(InvalidRequest) as caught:
        check_bounds(request, BOUNDS.model_copy(update=bounds))
    assert caught.value.param == field
