"""The chat page before the real vLLM: what is on the screen, and what the engine does meanwhile."""

import time
from collections.abc import Callable

import pytest

from tests.acceptance.gateway import Gateway
from tests.acceptance.page.conftest import Tab, chromium, tabs
from tests.engine.engines import RealEngine

pytestmark = pytest.mark.engine
QUESTION = "Tell me a long story of a lighthouse."
RUNNING = "vllm:num_requests_running"


def test_an_answer_is_seen_while_it_is_written_stopped_and_found_again(
    smollm2: Gateway, smollm2_engine: RealEngine
) -> None:
    """vLLM's own metrics say when it works; a browser that knows nothing has the answer from the log."""
    with chromium() as browser, tabs(browser, smollm2) as new_tab:
        tab = new_tab()
        tab.page.get_by_role("heading", name=smollm2_engine.model).wait_for()
        tab.ask(QUESTION)
        tab.page.locator(".answer.open .prose", has_text=" ").wait_for()
        assert smollm2_engine.metric(RUNNING) == 1
        tab.press("Live")
        requests = tab.page.locator(".card", has_text="Requests")
        requests.get_by_text("1 running").wait_for()
        tab.press("Chat")
        before = len(shown(tab))
        comes_true(lambda: len(shown(tab)) > before, seconds=5)
        tab.press("Stop")
        comes_true(lambda: smollm2_engine.metric(RUNNING) == 0, seconds=1)
        tab.page.locator(".answer.stopped").wait_for()
        said = shown(tab)
        assert said
        tab.page.locator(".row.current").wait_for()
        tab.page.reload()
        tab.page.locator(".answer.stopped .prose").wait_for()
        assert shown(tab) == said
        other = new_tab()
        other.page.get_by_role("button", name=QUESTION, exact=True).click()
        other.page.locator(".answer .prose").wait_for()
        assert shown(other).startswith(said)


def shown(tab: Tab) -> str:
    """The one answer on the screen."""
    (answer,) = tab.answers
    return " ".join(answer.split())


def comes_true(true: Callable[[], bool], *, seconds: float) -> None:
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit, "it did not come in time"
        time.sleep(0.02)
