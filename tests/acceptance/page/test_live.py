"""The charts, and what is missing while the engine loads."""

from tests.acceptance.conftest import NewGateway
from tests.acceptance.page.conftest import NewTab, Tab
from tests.fakes.engine import Script, ScriptedEngine


def test_the_charts_move(tab: Tab, engine: ScriptedEngine) -> None:
    engine.script = Script(pieces=[f"word{number} " for number in range(400)], pause=0.05, silence=0.1)
    tab.ask("count")
    tab.press("Live")
    requests = tab.page.locator(".card", has_text="Requests")
    requests.get_by_text("1 running").wait_for()
    samples = "one => Number(one.dataset.samples)"
    before = requests.locator(".chart").evaluate(samples)
    tab.page.wait_for_function(
        "before => Number(document.querySelector('.chart').dataset.samples) > before", arg=before
    )
    first = tab.page.locator(".card", has_text="Time to first token")
    first.get_by_text("150 ms").wait_for()
    drawn = """() => [...document.querySelectorAll('.chart canvas')].every((one) => one.getContext('2d')
        .getImageData(0, 0, one.width, one.height).data.some((value) => value > 0))"""
    assert tab.page.evaluate(drawn)
    tab.press("Chat")
    tab.press("Stop")


def test_while_the_engine_is_away_the_page_says_what_is_missing_and_for_how_long(
    new_gateway: NewGateway, new_tab: NewTab, engine: ScriptedEngine
) -> None:
    gateway = new_gateway(ENGINE_URL="http://127.0.0.1:1")
    gateway.start()
    try:
        gateway.wait_until_alive()
        tab = new_tab(gateway)
        waiting = tab.page.locator(".waiting")
        waiting.get_by_text("The engine cannot be reached.").wait_for()
        waiting.get_by_text("for 2 s").wait_for()
        tab.page.get_by_role("heading", name="Not ready").wait_for()
    finally:
        gateway.kill()
