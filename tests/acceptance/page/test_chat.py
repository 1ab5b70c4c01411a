"""A conversation: it streams, stops, branches, and outlives a reload and a lost connection."""

from tests.acceptance.conftest import NewGateway
from tests.acceptance.gateway import Gateway
from tests.acceptance.page.conftest import NewTab, Tab
from tests.acceptance.page.wire import Wire
from tests.fakes.engine import Script, ScriptedEngine

LONG = Script(pieces=[f"word{number} " for number in range(400)], pause=0.05)


def test_the_first_token_is_on_the_screen_long_before_the_last(tab: Tab, engine: ScriptedEngine) -> None:
    engine.script = LONG
    tab.ask("count")
    tab.page.get_by_text("word1 ").wait_for(timeout=3000)
    assert engine.one().outcome == "open"
    tab.press("Stop")


def test_stop_stops_the_engine_at_once_and_keeps_what_came(tab: Tab, engine: ScriptedEngine) -> None:
    engine.script = LONG
    tab.ask("count")
    tab.page.get_by_text("word2 ").wait_for()
    tab.press("Stop")
    assert engine.one().wait(2.0) == "aborted"
    tab.page.locator(".answer.stopped").wait_for()
    tab.page.locator(".row.current").wait_for()  # it is in the history as well
    assert "word2" in tab.answers[0]
    assert "stopped" in tab.page.locator(".measured").inner_text()


def test_what_is_said_goes_on_and_is_measured(tab: Tab, engine: ScriptedEngine) -> None:
    tab.said("first")
    tab.said("second")
    assert tab.answers == ["Hello, world.", "Hello, world."]
    roles = [message["role"] for message in engine.seen[1].json["messages"]]
    assert roles == ["user", "assistant", "user"]
    measured = tab.page.locator(".measured").last.inner_text()
    assert measured.startswith("4 tokens")
    assert "first after" in measured


def test_the_settings_reach_the_engine(tab: Tab, engine: ScriptedEngine) -> None:
    tab.press("Settings")
    tab.page.get_by_label("System message").fill("You are a poet.")
    for name, value in [("Max new tokens", "33"), ("Temperature", "0.3"), ("Top-k", "7"), ("Top-p", "0.5")]:
        tab.page.get_by_label(name, exact=True).fill(value)
        tab.page.keyboard.press("Tab")
    tab.said("sing")
    asked = engine.one().json
    assert asked["messages"][0] == {"role": "system", "content": "You are a poet."}
    wanted = {"max_tokens": 33, "temperature": 0.3, "top_k": 7, "top_p": 0.5}
    assert {name: asked[name] for name in wanted} == wanted
    tab.page.get_by_role("switch", name="Sample").click()
    tab.said("again")
    assert engine.seen[1].json["temperature"] == 0


def test_another_answer_is_a_branch_and_one_can_walk_the_branches(tab: Tab, engine: ScriptedEngine) -> None:
    tab.said("question")
    engine.script = Script(pieces=["Another"])
    tab.press("Another answer")
    tab.page.get_by_text("2/2").wait_for()
    assert tab.answers == ["Another"]
    tab.said("and then")
    tab.press("Branch before")
    assert tab.answers == ["Hello, world."]
    tab.press("Next branch")
    assert tab.answers == ["Another", "Another"]
    told = [message["content"] for message in engine.seen[2].json["messages"]]
    assert told == ["question", "Another", "and then"]


def test_a_question_is_edited_and_sent_again_beside_the_first(tab: Tab, engine: ScriptedEngine) -> None:
    tab.said("first thought")
    tab.press("Edit and send again")
    tab.page.get_by_label("Edit the question").fill("second thought")
    tab.page.keyboard.press("Enter")
    tab.page.get_by_text("2/2").wait_for()
    assert [message["content"] for message in engine.seen[1].json["messages"]] == ["second thought"]
    tab.press("Branch before")
    assert tab.page.locator(".said").all_text_contents() == ["first thought"]


def test_every_endpoint_of_the_api_can_be_talked_to_and_a_branch_goes_on_from_its_own_turn(
    tab: Tab, engine: ScriptedEngine, gateway: Gateway
) -> None:
    paths = [path for path in gateway.get("/openapi.json").json["paths"] if path.startswith("/zephyr/")]
    posts = {path for path in paths if "post" in gateway.get("/openapi.json").json["paths"][path]}
    endpoint = tab.page.get_by_label("Endpoint", exact=True)
    endpoint.locator("option").nth(5).wait_for(state="attached")
    shown = endpoint.locator("option").evaluate_all("all => all.map((one) => one.value)")
    assert set(shown) == posts | {"/v1/chat/completions"}
    endpoint.select_option("/zephyr/python")
    tab.said("one")
    engine.script = Script(pieces=["Second"])
    tab.said("two")
    engine.script = Script(pieces=["Third"])
    tab.press("Another answer")
    tab.page.get_by_text("2/2").wait_for()
    told = [message["content"] for message in engine.seen[2].json["messages"][1:]]
    assert told == ["one", "Hello, world.", "two"]


def test_a_rating_is_in_the_log(tab: Tab, engine: ScriptedEngine, gateway: Gateway) -> None:
    tab.said("rate me")
    tab.press("Good answer")
    tab.page.locator("[aria-label='Good answer'][aria-pressed=true]").wait_for()
    (exchange,) = gateway.get("/log/exchanges?limit=1").json["data"]
    assert gateway.get(f"/log/exchanges/{exchange['id']}").json["feedback"]["rating"] == 1


def test_a_reload_keeps_the_conversation_and_goes_on_with_its_answer(
    tab: Tab, engine: ScriptedEngine
) -> None:
    tab.said("before")
    engine.script = Script(pieces=[f"word{number} " for number in range(40)], pause=0.05)
    tab.ask("while it is written")
    tab.page.get_by_text("word3 ").wait_for()
    tab.page.reload()
    tab.page.get_by_text("word39").wait_for()
    tab.page.locator(".answer.done").nth(1).wait_for()
    assert tab.answers[0] == "Hello, world."
    assert tab.answers[1].split() == [f"word{number}" for number in range(40)]
    assert len(engine.seen) == 2


def test_a_short_loss_of_the_connection_loses_nothing(
    gateway: Gateway, new_tab: NewTab, engine: ScriptedEngine
) -> None:
    engine.script = Script(pieces=[f"word{number} " for number in range(40)], pause=0.05)
    with Wire(gateway.port) as wire:
        tab = new_tab(wire)
        asked: list[str] = []
        tab.page.on("request", lambda request: asked.append(request.method))
        tab.ask("count")
        tab.page.get_by_text("word3 ").wait_for()
        wire.lose(0.5)
        tab.page.locator(".answer.done").wait_for()
        assert tab.answers[0].split() == [f"word{number}" for number in range(40)]
        assert asked.count("POST") > 1
    assert len(engine.seen) == 1


def test_a_long_loss_of_the_connection_is_told_and_no_other_answer_takes_its_place(
    new_gateway: NewGateway, new_tab: NewTab, engine: ScriptedEngine
) -> None:
    engine.script = LONG
    with new_gateway(ZEPHYR_IDEMPOTENCY_GRACE="0.1") as gateway, Wire(gateway.port) as wire:
        tab = new_tab(wire)
        tab.ask("count")
        tab.page.get_by_text("word3 ").wait_for()
        wire.lose(1.0)
        tab.page.locator(".answer.broken").wait_for()
        assert "not whole" in tab.page.get_by_role("alert").inner_text()
        assert tab.answers[0].startswith("word0")
        assert [seen.wait(2.0) for seen in engine.seen] == ["aborted"] * len(engine.seen)


def test_an_engine_that_breaks_is_not_taken_for_an_end(tab: Tab, engine: ScriptedEngine) -> None:
    engine.script = Script(pieces=["One ", "two ", "three"], stop_after=3, ending="reset", pause=0.05)
    tab.ask("count")
    tab.page.locator(".answer.broken").wait_for()
    assert tab.answers[0].startswith("One")
    assert tab.page.get_by_role("alert").inner_text()
    engine.script = Script(pieces=["Well again"])
    tab.press("Another answer")
    tab.page.get_by_text("Well again").wait_for()


def test_a_refusal_is_shown_in_the_words_of_the_api(tab: Tab, engine: ScriptedEngine) -> None:
    tab.press("Settings")
    tab.page.get_by_label("Temperature", exact=True).fill("5")
    tab.page.keyboard.press("Tab")
    tab.ask("hot")
    tab.page.locator(".answer.failed").wait_for()
    assert "temperature" in tab.page.get_by_role("alert").inner_text()
    tab.press("Back to the defaults")
    tab.said("cool")
    assert [message["content"] for message in engine.one().json["messages"]] == ["cool"]


def test_on_a_telephone_everything_can_be_reached(new_tab: NewTab, engine: ScriptedEngine) -> None:
    tab = new_tab(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    engine.script = Script(pieces=["```python\n", "x = " + "1 + " * 60, "1\n```\n"])
    tab.said("wide code")
    assert tab.page.evaluate("document.documentElement.scrollWidth") == 360
    tab.press("Conversations")
    tab.page.get_by_label("Search what was said").wait_for()
    tab.press("Close the list")
    tab.press("Settings")
    tab.press("Close settings")
