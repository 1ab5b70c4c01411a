"""The page is light, and stays quick with a thousand turns and a very long answer."""

import json

from tests.acceptance.page.conftest import Tab
from tests.fakes.engine import Script, ScriptedEngine

MOST_BYTES = 300_000
LONGEST_FRAME_MS = 1000  # more is a page that stands still; the machine is busy with other tests
FRAMES = """() => { window.longest = 0; let last = performance.now();
    (function frame(now) { if (now) { window.longest = Math.max(window.longest, now - last); last = now }
      requestAnimationFrame(frame) })() }"""
FILL = """(count) => new Promise((resolve) => {
    const turns = {};
    for (let place = 0; place < count; place++) turns['t' + place] = {
        id: 't' + place, parent: place ? 't' + (place - 1) : null, endpoint: '/v1/chat/completions',
        question: 'Question ' + place, fields: {}, key: '', state: 'done',
        sampling: { maxNewTokens: 9, doSample: true, temperature: 1, topK: 5, topP: 1 },
        answer: '**Answer** ' + place + '\\n\\n- one\\n- two\\n\\n```python\\nx = ' + place + '\\n```\\n' };
    const open = indexedDB.open('zephyr', 1);
    open.onsuccess = () => {
        const put = open.result.transaction('threads', 'readwrite').objectStore('threads')
            .put({ id: 'many', turns, shown: {}, touched: Date.now() });
        put.onsuccess = () => { sessionStorage.setItem('zephyr.thread', 'many'); resolve() };
    };
})"""


def test_the_first_view_is_small(tab: Tab, engine: ScriptedEngine) -> None:
    entries = "() => JSON.stringify(performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation')))"
    loaded = {
        entry["name"]: entry["decodedBodySize"]
        for entry in json.loads(tab.page.evaluate(entries))
        if "/chat/" in entry["name"] or "/static/" in entry["name"]
    }
    assert len(loaded) >= 4
    assert sum(loaded.values()) < MOST_BYTES, loaded


def test_a_thousand_turns_scroll_and_grow_without_stutter(tab: Tab, engine: ScriptedEngine) -> None:
    tab.said("so that there is a store")
    tab.page.locator(".row.current").wait_for()  # all of it is kept
    tab.page.evaluate(FILL, 1000)
    tab.page.reload()
    tab.page.get_by_text("Question 999").wait_for()
    tab.page.evaluate(FRAMES)
    for _ in range(20):
        tab.page.mouse.move(600, 300)
        tab.page.mouse.wheel(0, -1500)
        tab.page.wait_for_timeout(40)
    assert tab.page.get_by_text("Question 950").count()
    engine.script = Script(pieces=["word "] * 60, pause=0.01)
    tab.said("one more")
    assert tab.page.evaluate("window.longest") < LONGEST_FRAME_MS


def test_a_very_long_answer_never_freezes_the_page(tab: Tab, engine: ScriptedEngine) -> None:
    paragraph = (
        "Some **bold** and `code` words in a paragraph that is neither short nor long.\n\n- a\n- b\n\n"
    )
    text = paragraph * 120 + "```python\n" + "value = compute(1, 2)  # a line\n" * 350 + "```\nThe end.\n"
    assert len(text) > 20_000
    pieces = [text[place : place + 25] for place in range(0, len(text), 25)]
    engine.script = Script(pieces=pieces, pause=0.002)
    tab.page.evaluate(FRAMES)
    tab.said("write much")
    tab.page.get_by_text("The end.").wait_for()
    assert tab.page.evaluate("window.longest") < LONGEST_FRAME_MS
