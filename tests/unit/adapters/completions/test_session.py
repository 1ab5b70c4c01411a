"""What a router keeps a conversation at one engine by."""

from adapters.completions.requests import ChatRequest, CompletionRequest, Message
from adapters.completions.shares import session


def chat(*texts: str, system: str | None = None) -> ChatRequest:
    """A chat in which user and model speak in turn."""
    turns = [Message(role=("user", "assistant")[place % 2], content=text) for place, text in enumerate(texts)]
    first = [] if system is None else [Message(role="system", content=system)]
    return ChatRequest(messages=first + turns)


def test_all_turns_of_a_conversation_have_the_same_session() -> None:
    """Also another answer to its first question."""
    first = session("me", chat("hello", system="be kind"))
    assert first == session("me", chat("hello", "hi", "how are you?", system="be kind"))
    assert first == session("me", chat("hello", "good day", "and?", system="be kind"))


def test_what_conversations_have_in_common_keeps_none_of_them_together() -> None:
    """A system message that all of them have would send all to one engine."""
    sessions = {session("me", chat(f"question {number}", system="be kind")) for number in range(50)}
    assert len(sessions) == 50
    assert session("me", chat("hello")) != session("me", chat("hello", system="be kind"))


def test_tenants_have_sessions_of_their_own() -> None:
    """They share no prefix, and need not meet."""
    assert session("me", chat("hello")) != session("you", chat("hello"))


def test_a_prompt_that_grows_stays_in_its_session() -> None:
    """Once there is something worth keeping."""
    beginning = "Once upon a time " * 20
    first = session("me", CompletionRequest(prompt=beginning))
    assert first == session("me", CompletionRequest(prompt=[beginning + "there was a queue."]))
    assert first != session("me", CompletionRequest(prompt="Twice " + beginning))


def test_a_session_says_nothing_of_what_was_said() -> None:
    """It goes through a router, which may log it; half a character is no mistake."""
    said = session("me", CompletionRequest(prompt="\ud800 secret"))
    assert len(said) == 32
    assert int(said, 16)
