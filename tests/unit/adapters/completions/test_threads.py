"""What a request says and goes on from, by its hash."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.completions.requests import Message
from adapters.completions.threads import Transcribed, follow


def message(role: str, content: object = None, **more: object) -> Message:
    return msgspec.json.decode(json.dumps({"role": role, "content": content, **more}), type=Message)


USER = message("user", "hello")
ANSWER = message("assistant", "hi")


def test_a_first_request_goes_on_from_nothing() -> None:
    followed = follow("me", [message("system", "be kind"), USER])
    assert (followed.follows, followed.repeated) == (None, 0)


def test_a_second_request_goes_on_from_what_the_first_one_became() -> None:
    """Up to its last assistant turn, whatever comes after it."""
    became = follow("me", [USER]).transcribed.with_answer(ANSWER)
    second = follow("me", [USER, ANSWER, message("user", "more"), message("user", "still more")])
    assert (second.follows, second.repeated) == (became, 2)


CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("answered", "sent_back"),
    [
        (message("assistant", "hi"), message("assistant", " hi\n")),
        (message("assistant", "hi"), message("assistant", "hi", tool_calls=[])),
        (message("assistant", "hi"), message("assistant", "hi", refusal=None, audio=None)),
        (message("assistant", "hi"), message("assistant", [{"type": "text", "text": "hi"}])),
        (message("assistant", "", tool_calls=[CALL]), message("assistant", None, tool_calls=[CALL])),
    ],
)
def test_an_answer_is_known_in_whatever_way_a_client_sends_it_back(
    answered: Message, sent_back: Message
) -> None:
    became = follow("me", [USER]).transcribed.with_answer(answered)
    assert follow("me", [USER, sent_back, USER]).follows == became


@pytest.mark.parametrize(
    "other",
    [
        [message("user", "hello "), ANSWER],
        [message("system", "hello"), ANSWER],
        [USER, message("assistant", "ho")],
        [USER, message("assistant", "hi", tool_calls=[CALL])],
        [message("system", ""), USER, ANSWER],
        [message("user", "hello", name="bob"), ANSWER],
        [USER, USER, ANSWER],
    ],
)
def test_anything_else_is_another_transcript(other: list[Message]) -> None:
    assert follow("me", [USER, ANSWER]).follows != follow("me", other).follows


def test_the_same_words_of_another_caller_are_another_transcript() -> None:
    assert follow("me", [USER, ANSWER]).follows != follow("you", [USER, ANSWER]).follows


@given(
    st.lists(st.text(max_size=5), min_size=1, max_size=4),
    st.lists(st.text(max_size=5), min_size=1, max_size=4),
)
def test_no_two_lists_of_messages_run_into_each_other(first: list[str], second: list[str]) -> None:
    """What ends one message cannot begin the next."""

    def name(texts: list[str]) -> object:
        transcribed = Transcribed("me")
        for text in texts:
            transcribed.add(message("user", text))
        return transcribed.name()

    assert (name(first) == name(second)) == (first == second)


def test_asking_for_the_name_changes_nothing() -> None:
    transcribed = Transcribed("me").add(USER)
    assert transcribed.with_answer(ANSWER) == transcribed.with_answer(ANSWER)
    assert transcribed.name() == Transcribed("me").add(USER).name()
