"""When an answer is whole, in each of its forms."""

import pytest

from adapters.access.admission import TooManyWaiting
from adapters.errors import InvalidRequest, Overloaded
from adapters.idempotency.answer import Answer, Form, decode, encode, form_of, is_last, is_worth_keeping


@pytest.mark.parametrize(
    ("content_type", "form"),
    [
        (b"application/json", Form.PLAIN),
        (b"text/event-stream; charset=utf-8", Form.EVENTS),
        (b"application/x-ndjson", Form.LINES),
    ],
)
def test_form_is_told_by_the_content_type(content_type: bytes, form: Form) -> None:
    assert form_of([(b"x-other", b"text/event-stream"), (b"Content-Type", content_type)]) is form
    assert form_of([]) is Form.PLAIN


@pytest.mark.parametrize(
    ("piece", "last"),
    [
        (b"data: [DONE]\n\n", True),
        (b'data: {"response":"Hi"}\n\ndata: [DONE]\n\n', True),
        (b'event: response.completed\ndata: {"type":"response.completed"}\n\n', True),
        (b'event: other\ndata: {}\n\nevent: response.incomplete\ndata: {"a":1}\n\n', True),
        (b'event: response.failed\ndata: {"type":"response.failed"}\n\n', False),
        (b'event: response.completed\ndata: {}\n\nevent: error\ndata: {"b":1}\n\n', False),
        (b'data: {"delta":"data: [DONE]\\n\\n"}\n\n', False),
        (b'data: {"delta":"event: response.completed"}\n\n', False),
        (b'data: {"error": {"message": "broke"}}\n\n', False),
        (b"", False),
    ],
)
def test_stream_of_events_says_itself_that_it_is_whole(piece: bytes, last: bool) -> None:
    """That it ends says nothing."""
    assert is_last(Form.EVENTS, piece, more=True) is is_last(Form.EVENTS, piece, more=False) is last


def test_others_are_whole_with_their_end() -> None:
    for form in (Form.PLAIN, Form.LINES):
        assert is_last(form, b"", more=False)
        assert not is_last(form, b"data: [DONE]\n\n", more=True)


def test_lines_are_kept_unless_the_server_failed_in_one() -> None:
    """What is wrong with a line of the client's is as wrong the next time."""
    answered = b'{"index":0,"response":"server_error"}\n'
    invalid = b'{"index":1,' + InvalidRequest("Not so.").body()[1:] + b"\n"
    overloaded = b'{"index":2,' + Overloaded().body()[1:] + b"\n"
    assert is_worth_keeping(Form.LINES, answered + invalid)
    crowded = b'{"index":3,' + TooManyWaiting().body()[1:] + b"\n"
    assert not is_worth_keeping(Form.LINES, answered + overloaded + invalid)
    assert not is_worth_keeping(Form.LINES, answered + crowded)
    assert is_worth_keeping(Form.PLAIN, overloaded)


def test_what_is_kept_comes_back_as_it_was() -> None:
    answer = Answer([(b"content-type", b"application/json"), (b"content-length", b"3")], b"\x00\xff\n")
    assert decode(encode(answer)) == answer
