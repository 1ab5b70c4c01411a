"""`/docs`: the API, described by the page's own files."""

from tests.acceptance.gateway import Gateway
from tests.acceptance.page.conftest import Tab


def test_the_api_is_described_and_tried_without_asking_anybody_else(tab: Tab, gateway: Gateway) -> None:
    """Which other hosts were asked, what the policy refused and what failed is looked at when the tab closes."""
    tab.page.goto(gateway.url + "/docs")
    tab.page.locator("#operations-OpenAI-list_models_v1_models_get").click()
    tab.page.get_by_role("button", name="Try it out").first.click()
    tab.page.get_by_role("button", name="Execute").first.click()
    tab.page.locator(".live-responses-table .response-col_status", has_text="200").first.wait_for()
