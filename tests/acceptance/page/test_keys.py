"""The page at a gateway that needs keys."""

import re

from playwright.sync_api import expect

from tests.acceptance.gateway import Gateway
from tests.acceptance.keys import Holder
from tests.acceptance.page.conftest import NewTab


def test_a_key_is_asked_for_and_opens_everything(new_tab: NewTab, keyed: Gateway, admin: Holder) -> None:
    """It goes in headers and in the websocket's protocols, never in an address, and is forgotten with the tab."""
    holder = admin.gives("page-visitor")
    sent: list[str] = []
    tab = new_tab(keyed)
    tab.page.on("request", lambda request: sent.append(request.url))
    tab.page.on("websocket", lambda socket: sent.append(socket.url))
    tab.page.get_by_label("API key").fill(holder.key)
    tab.page.keyboard.press("Enter")
    tab.said("hello")
    assert tab.answers == ["Hello, world."]
    assert len(holder.get("/log/exchanges").json["data"]) == 1
    tab.page.get_by_role("link", name="API").wait_for()
    assert tab.page.get_by_role("link", name="Metrics").count() == 0  # they are on the second listener alone
    tab.press("Good answer")
    expect(tab.page.get_by_role("button", name="Good answer")).to_have_attribute("aria-pressed", "true")
    tab.press("Live")
    tab.page.locator(".card", has_text="Requests").get_by_text(re.compile(r"\d running")).wait_for()
    assert any(url.startswith("ws") for url in sent)
    assert not any(holder.key in url for url in sent)
    assert holder.key not in tab.page.evaluate("Object.values(localStorage).join()")


def test_a_wrong_key_is_asked_for_again(new_tab: NewTab, keyed: Gateway) -> None:
    tab = new_tab(keyed)
    refused = tab.page.get_by_role("alert").get_by_text("is unknown, has expired or was revoked")
    tab.page.get_by_label("API key").wait_for()
    assert refused.count() == 0
    tab.page.get_by_label("API key").fill("sk-zephyr-wrong")
    tab.page.keyboard.press("Enter")
    refused.wait_for()
    tab.page.get_by_label("API key").wait_for()
