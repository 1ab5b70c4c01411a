"""vLLM's refusals in OpenAI's terms: the rest of the table is held by the acceptance tests."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.engine.errors import EngineBroke, refusal, refusal_in_stream


def body(message: str, **fields: object) -> bytes:
    return json.dumps({"error": {"message": message, "type": "BadRequestError"} | fields}).encode()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("top_p must be in (0, 1], got 3. (parameter=top_p, value=3)", "top_p must be in (0, 1], got 3."),
        ("cannot open /usr/lib/python3/x.py", "cannot open <path>"),
        ("at 0x7f12ab34cd56", "at <address>"),
        ("either 1/2 or and/or", "either 1/2 or and/or"),
        ("connect to http://10.1.2.3:8001/v1 failed", "connect to <address> failed"),
        ("see https://docs.vllm.ai/en/latest/", "see https://docs.vllm.ai/en/latest/"),
        ("x" * 600, "x" * 500),
        ("", "The request is not valid."),
    ],
)
def test_message_is_told_without_the_inside(said: str, told: str) -> None:
    assert refusal(400, body(said)).message == told


@given(st.integers(100, 599), st.binary(max_size=40))
def test_any_answer_is_some_refusal(status: int, content: bytes) -> None:
    """Whatever an engine answers, it is an error in shape, and never one that blames the caller's key."""
    error = refusal(status, content)
    assert error.message
    assert error.status in (400, 404, 501, 503)
    assert set(json.loads(error.detail())) == {"message", "type", "param", "code"}


def test_in_a_stream_the_code_is_the_status() -> None:
    assert refusal_in_stream(body("x", code=400)).status == 400
    assert isinstance(refusal_in_stream(body("x", code=500)), EngineBroke)
    assert isinstance(refusal_in_stream(body("x", code="odd")), EngineBroke)


@pytest.mark.parametrize(("param", "told"), [("body.top_p", "top_p"), ("/secret/p", None), ("a\nb", None)])
def test_a_param_is_told_only_where_it_is_a_fields_name(param: str, told: str | None) -> None:
    assert refusal(400, body("no", param=param)).param == told
