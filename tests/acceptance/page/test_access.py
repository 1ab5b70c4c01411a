"""By keyboard, and to a screen reader as far as axe-core can tell."""

import pytest

from tests.acceptance.gateway import ROOT, Gateway
from tests.acceptance.page.conftest import NewTab, Tab
from tests.fakes.engine import Script, ScriptedEngine

AXE = ROOT / "page" / "node_modules" / "axe-core" / "axe.min.js"
MARKDOWN = "# Title\n\nText with a [link](https://example.org).\n\n```python\nx = 1\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(new_tab: NewTab, engine: ScriptedEngine, gateway: Gateway, scheme: str) -> None:
    """In the chat with its settings, in a menu, in the charts, and on the welcome page."""
    if not AXE.is_file():
        pytest.skip("axe-core is not there: setup/page.py fetches it with the page's other packages")
    tab = new_tab(color_scheme=scheme, bypass_csp=True)
    engine.script = Script(pieces=[MARKDOWN])
    tab.said("show me")
    tab.page.locator(".row .open").first.wait_for()
    tab.press("Settings")
    _look(tab)
    tab.page.get_by_role("button", name="What to do with show me").first.click()
    _look(tab)
    tab.press("Live")
    tab.page.locator(".chart canvas").first.wait_for()
    _look(tab)
    tab.page.goto(gateway.url + "/")
    tab.page.locator("summary").first.click()
    _look(tab)


def test_a_conversation_can_be_had_by_keyboard_alone(tab: Tab, engine: ScriptedEngine) -> None:
    keyboard = tab.page.keyboard
    keyboard.type("first")
    keyboard.press("Shift+Enter")
    keyboard.type("line")
    keyboard.press("Enter")
    tab.page.locator(".answer.done").wait_for()
    assert engine.one().json["messages"][0]["content"] == "first\nline"
    engine.script = Script(pieces=["word "] * 400, pause=0.05)
    keyboard.type("long")
    keyboard.press("Enter")
    tab.page.locator(".answer.open .prose").wait_for()
    keyboard.press("Escape")
    tab.page.locator(".answer.stopped").wait_for()
    for _ in range(12):
        keyboard.press("Shift+Tab")
        if tab.page.evaluate("document.activeElement.getAttribute('aria-label')") == "Another answer":
            break
    else:
        raise AssertionError("the button cannot be reached")
    engine.script = Script(pieces=["By key"])
    keyboard.press("Enter")
    tab.page.get_by_text("By key").wait_for()


def test_on_a_telephone_a_tap_beside_the_settings_closes_them(new_tab: NewTab) -> None:
    tab = new_tab(viewport={"width": 390, "height": 844})
    tab.press("Settings")
    tab.page.get_by_label("System message").wait_for()
    tab.page.mouse.click(20, 400)
    tab.page.get_by_label("System message").wait_for(state="detached")


def _look(tab: Tab) -> None:
    tab.page.wait_for_timeout(250)  # until what moves has come to rest
    tab.page.evaluate(AXE.read_text())
    found = tab.page.evaluate("axe.run().then((told) => told.violations)")
    assert [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found] == []
