"""`/docs`: the API, described by the page's own files."""

import pytest

from tests.acceptance.gateway import Gateway
from tests.acceptance.page.conftest import NewTab, Tab


def test_the_api_is_described_and_tried_without_asking_anybody_else(tab: Tab, gateway: Gateway) -> None:
    """Which other hosts were asked, what the policy refused and what failed is looked at when the tab closes."""
    tab.page.goto(gateway.url + "/docs")
    tab.page.locator("#operations-OpenAI-list_models_v1_models_get").click()
    tab.page.get_by_role("button", name="Try it out").first.click()
    tab.page.get_by_role("button", name="Execute").first.click()
    tab.page.locator(".live-responses-table .response-col_status", has_text="200").first.wait_for()


@pytest.mark.parametrize(
    ("system", "chosen", "is_dark"),
    [("dark", "system", True), ("light", "dark", True), ("dark", "light", False)],
)
def test_it_has_the_colours_of_the_other_pages(
    new_tab: NewTab, gateway: Gateway, system: str, chosen: str, is_dark: bool
) -> None:
    tab = new_tab(color_scheme=system)
    tab.page.evaluate("chosen => localStorage.setItem('zephyr.theme', chosen)", chosen)
    tab.page.goto(gateway.url + "/docs")
    tab.page.locator(".opblock").first.wait_for()
    red = tab.page.evaluate(
        "Number(getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/)[0])"
    )
    assert (0 < red < 60) == is_dark
    tab.page.get_by_role("link", name="Chat", exact=True).click()
    tab.page.get_by_label("Message", exact=True).wait_for()
