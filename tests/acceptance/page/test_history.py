"""One's own conversations: listed, found, opened with their branches, renamed, exported, deleted."""

import json
from pathlib import Path

from tests.acceptance.gateway import Gateway, chat
from tests.acceptance.page.conftest import NewTab, Tab
from tests.fakes.engine import Script, ScriptedEngine


def menu(tab: Tab, title: str, entry: str) -> None:
    tab.page.get_by_role("button", name=title, exact=True).first.hover()
    tab.press(f"What to do with {title}")
    tab.page.get_by_role("menuitem", name=entry).click()


def test_a_conversation_is_opened_with_its_branches_in_another_browser(
    tab: Tab, new_tab: NewTab, engine: ScriptedEngine
) -> None:
    tab.said("Tell me of heaps")
    tab.press("Good answer")
    tab.page.get_by_role("button", name="Good answer", pressed=True).wait_for()
    tab.said("Shorter")
    engine.script = Script(pieces=["The other answer"])
    tab.press("Another answer")
    tab.page.get_by_text("2/2").wait_for()
    other = new_tab()
    other.page.get_by_role("button", name="Tell me of heaps", exact=True).first.click()
    other.page.get_by_text("The other answer").wait_for()
    rated = other.page.get_by_role("button", name="Good answer")
    assert [one.get_attribute("aria-pressed") for one in rated.all()] == ["true", "false"]
    other.press("Branch before")
    assert other.page.locator(".said").all_text_contents() == ["Tell me of heaps", "Shorter"]
    assert other.answers[1].startswith("Hello, world.")
    other.press("Next branch")
    other.said("Go on")
    told = [message["content"] for message in engine.seen[-1].json["messages"]]
    assert told == ["Tell me of heaps", "Hello, world.", "Shorter", "The other answer", "Go on"]


def test_an_opened_conversation_is_gone_on_with_as_it_was_begun(
    tab: Tab, new_tab: NewTab, engine: ScriptedEngine, gateway: Gateway
) -> None:
    """With its endpoint and its system message, and so as the same one in the log."""
    tab.page.get_by_label("Endpoint").select_option("/zephyr/system-message")
    tab.press("Settings")
    tab.page.get_by_label("System message").fill("Speak like a sailor.")
    tab.said("Where is the rope?")
    tab.page.get_by_role("button", name="Where is the rope?", exact=True).wait_for()
    other = new_tab()
    other.page.get_by_role("button", name="Where is the rope?", exact=True).click()
    other.page.get_by_text("Hello, world.").wait_for()
    other.said("And the anchor?")
    told = [(one["role"], one["content"]) for one in engine.seen[-1].json["messages"]]
    assert told[0] == ("system", "Speak like a sailor.")
    first, second = gateway.get("/log/exchanges?limit=2").json["data"]
    assert (first["endpoint"], first["conversation_id"]) == (
        "/zephyr/system-message",
        second["conversation_id"],
    )


def test_a_conversation_that_is_being_answered_is_come_back_to(tab: Tab, engine: ScriptedEngine) -> None:
    tab.said("Tell me of tries")
    tab.page.get_by_role("button", name="Tell me of tries", exact=True).wait_for()
    engine.script = Script(pieces=[f"word{number} " for number in range(60)], pause=0.05)
    tab.ask("At length")
    tab.page.get_by_text("word3").wait_for()
    tab.press("New conversation")
    tab.page.get_by_text("What would you like to know?").wait_for()
    tab.page.get_by_role("button", name="Tell me of tries", exact=True).first.click()
    tab.page.locator(".answer.open").get_by_text("word3").wait_for()
    tab.page.locator(".answer.done").get_by_text("word59").wait_for()
    assert tab.page.locator(".turn").count() == 2


def test_a_conversation_is_deleted_with_the_answer_that_is_being_written(
    tab: Tab, engine: ScriptedEngine, gateway: Gateway
) -> None:
    tab.said("Something private")
    tab.page.get_by_role("button", name="Something private", exact=True).wait_for()
    engine.script = Script(pieces=[f"word{number} " for number in range(200)], pause=0.05)
    tab.ask("More of it")
    tab.page.get_by_text("word3").wait_for()
    menu(tab, "Something private", "Delete")
    tab.press("Delete")
    tab.page.get_by_text("What would you like to know?").wait_for()
    newest = gateway.get("/log/exchanges?limit=2").json["data"]
    assert [(one["input"], one["answer"]) for one in newest] == [(None, None)] * 2
    assert tab.page.get_by_role("button", name="Something private", exact=True).count() == 0


def test_what_was_said_is_found_by_its_words(tab: Tab, engine: ScriptedEngine, gateway: Gateway) -> None:
    engine.script = Script(pieces=["An ", "axolotl ", "regrows ", "its ", "legs."])
    assert gateway.post("/v1/chat/completions", chat("Which animal?")).status == 200
    tab.page.get_by_label("Search what was said").fill("axolotl")
    tab.page.locator(".hit").first.click()
    tab.page.get_by_role("log").get_by_text("An axolotl regrows its legs.").wait_for()


def test_markdown_holds_the_newest_branch(tab: Tab, engine: ScriptedEngine, tmp_path: Path) -> None:
    """Each question once, with one answer."""
    tab.said("Name colours")
    tab.said("One is enough")
    engine.script = Script(pieces=["Blue"])
    tab.press("Another answer")
    tab.page.get_by_text("2/2").wait_for()
    tab.page.locator(".answer.done").get_by_text("Blue").wait_for()
    with tab.page.expect_download() as started:
        menu(tab, "Name colours", "Export as Markdown")
    started.value.save_as(tmp_path / "export.md")
    lines = (tmp_path / "export.md").read_text().split("\n\n")
    assert lines[0] == "# Name colours"
    assert [line for line in lines[1:] if not line.startswith("**")] == [
        "Name colours",
        "Hello, world.",
        "One is enough",
        "Blue",
    ]


def test_a_conversation_is_renamed_exported_and_deleted(
    tab: Tab, engine: ScriptedEngine, gateway: Gateway, tmp_path: Path
) -> None:
    tab.said("Something to forget")
    tab.page.get_by_role("button", name="Something to forget", exact=True).wait_for()
    menu(tab, "Something to forget", "Rename")
    tab.page.get_by_label("New title").fill("Secret plans")
    tab.page.keyboard.press("Enter")
    tab.page.get_by_role("button", name="Secret plans", exact=True).wait_for()
    assert tab.page.title() == "Secret plans"
    with tab.page.expect_download() as started:
        menu(tab, "Secret plans", "Export as JSON")
    started.value.save_as(tmp_path / "export.json")
    exported = json.loads((tmp_path / "export.json").read_text())
    assert exported["title"] == "Secret plans"
    assert exported["exchanges"][0]["answer"][0]["content"] == "Hello, world."
    menu(tab, "Secret plans", "Delete")
    tab.press("Delete")
    tab.page.get_by_role("button", name="Secret plans", exact=True).wait_for(state="detached")
    tab.page.get_by_text("What would you like to know?").wait_for()
    left = gateway.get(f"/log/exchanges?conversation={exported['id']}").json["data"]
    assert [one["input"] for one in left] == [None]
    tab.page.reload()
    tab.page.get_by_text("What would you like to know?").wait_for()
