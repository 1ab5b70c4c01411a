"""`/zephyr/structured-code-doc`: the structure is ours, whatever the model writes."""

import pytest
from markdown_it import MarkdownIt

from tests.acceptance.exchanges import Exchanges
from tests.acceptance.gateway import Gateway
from tests.acceptance.zephyr import logged, streamed
from tests.fakes.engine import Script, ScriptedEngine

PATH = "/zephyr/structured-code-doc"
HEADINGS = ["Overview", "Inputs", "How it works", "Example", "Notes"]


def headings(markdown: str) -> list[str]:
    """All headings of a document, as a CommonMark parser finds them."""
    tokens = MarkdownIt("commonmark").parse(markdown)
    return [tokens[place + 1].content for place, token in enumerate(tokens) if token.type == "heading_open"]


STUBBORN = [
    ("Plain text.",),
    ("",),
    ("# Title\n\n", "## Over", "view\n\n### Inputs\ntext\n", "Notes\n=====\n", "Example\n---"),
    ("```python\n# not a heading\n", "x = 1"),
    ("```", "`python\nx = 1\n```\n## Notes"),
    ("1. item\n   ```\n   code\n## Notes\n",),
    ("<!-- never closed\n", "<details>\n<pre>"),
    ("> ## Notes\n- # Notes\n10. ## Inputs",),
]


@pytest.mark.parametrize("pieces", STUBBORN)
@pytest.mark.parametrize("stream", [True, False])
def test_every_heading_stands_in_the_document_once_and_in_order(
    gateway: Gateway, engine: ScriptedEngine, pieces: tuple[str, ...], stream: bool
) -> None:
    engine.script = Script(pieces=pieces)
    if stream:
        text, whole = streamed(gateway, PATH, user_message="x = 1")
        assert text == whole["response"]
    else:
        text = gateway.post(PATH, {"user_message": "x = 1"}).json["response"]
    assert headings(text) == HEADINGS


def test_the_users_code_goes_to_the_model_first_and_each_question_last(
    gateway: Gateway, engine: ScriptedEngine
) -> None:
    gateway.post(PATH, {"user_message": "def f(): ...", "system_message": "Be brief."})
    asked = [seen.json["messages"] for seen in engine.wait_for(5)]
    assert {messages[0]["content"] for messages in asked} == {"Be brief."}
    users = [messages[1]["content"] for messages in asked]
    assert all(user.startswith("```\ndef f(): ...\n```\n\n") for user in users)
    assert len(set(users)) == 5


def test_the_sections_are_written_side_by_side(gateway: Gateway, engine: ScriptedEngine) -> None:
    engine.script = Script(pieces=["a"] * 10, pause=0.03)
    gateway.post(PATH, {"user_message": "x = 1"})
    seen = engine.wait_for(5)
    assert max(one.arrived for one in seen) < min(one.ended for one in seen)


@pytest.mark.parametrize("budget", [1, 3, 5, 7, 500])
def test_max_new_tokens_is_the_budget_of_the_whole_document(
    gateway: Gateway, engine: ScriptedEngine, budget: int
) -> None:
    answer = gateway.post(PATH, {"user_message": "x = 1", "max_new_tokens": budget}).json
    assert sum(seen.json["max_tokens"] for seen in engine.seen) == budget
    assert headings(answer["response"]) == HEADINGS
    assert ("warnings" in answer) == (budget < 5)


def test_a_document_is_one_exchange_in_the_log(
    gateway: Gateway, engine: ScriptedEngine, exchanges: Exchanges
) -> None:
    before = exchanges.count()
    answer = gateway.post(PATH, {"user_message": "x = 1"}).json
    assert exchanges.count() == before + 1
    found = logged(exchanges, answer)
    assert found["answer"] == [
        {"index": 0, "role": "assistant", "content": answer["response"], "finish_reason": "stop"}
    ]
    assert [message["role"] for message in found["input"]] == ["system", "user"]
    assert found["input"][1]["content"] == "```\nx = 1\n```"
    assert (found["outcome"], found["completion_tokens"]) == ("completed", 20)
    assert answer["usage"]["completion_tokens"] == 20


def test_a_document_with_a_section_cut_off_says_so(
    gateway: Gateway, engine: ScriptedEngine, exchanges: Exchanges
) -> None:
    engine.script = Script(finish_reason="length")
    answer = gateway.post(PATH, {"user_message": "x = 1"}).json
    assert answer["finish_reason"] == "length"
    assert logged(exchanges, answer)["outcome"] == "length"


def test_a_section_that_fails_fails_the_document_and_stops_the_others(
    gateway: Gateway, engine: ScriptedEngine, exchanges: Exchanges
) -> None:
    first = gateway.post(PATH, {"user_message": "x = 1", "max_new_tokens": 5})
    assert first.status == 200
    asked = engine.seen[2].json["messages"][-1]["content"]
    engine.forget()
    engine.script = Script(pieces=["word "] * 200, pause=0.05)
    engine.scripts = {asked: Script(stop_after=2, ending="reset")}
    answer = gateway.post(PATH, {"user_message": "x = 1", "max_new_tokens": 5})
    assert (answer.status, answer.error["code"]) == (503, "engine_failed")
    assert [seen.wait() for seen in engine.seen].count("aborted") == 4
    assert exchanges.get(answer.headers["x-request-id"])["outcome"] == "failed"
