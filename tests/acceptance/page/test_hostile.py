"""What a model writes never runs in the page, and fetches nothing."""

import pytest

from tests.acceptance.gateway import Gateway
from tests.acceptance.page.conftest import Tab
from tests.fakes.engine import Script, ScriptedEngine

HOSTILE = [
    "<script>window.ran = 1</script>",
    "<img src=x onerror='window.ran = 1'>",
    "![a picture](http://192.0.2.1/x.png) <img src='http://192.0.2.1/y.png'>",
    "[a link](javascript:window.ran=1) [b](JaVaScRiPt:window.ran=1) [c](data:text/html,<script>window.ran=1</script>)",
    "<svg onload='window.ran=1'><style>*{display:none}</style></svg><iframe srcdoc='<script>parent.ran=1</script>'></iframe>",
    "<form action='//192.0.2.1'><input name=a autofocus onfocus='window.ran=1'></form><base href='//192.0.2.1/'>",
    '<a href="#" style="position:fixed;inset:0" class="app" onclick="window.ran=1">x</a>',
    '```html"><script>window.ran=1</script>\n<script>window.ran=1</script>\n```',
    "| a | <img src=x onerror=window.ran=1> |\n|---|---|\n| `<b>` | [x](vbscript:ran) |",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=window.ran=1&gt;'>",
    "[x]: javascript:window.ran=1\n\n[x] ![y][x]",
]


def test_what_a_model_writes_stays_text(tab: Tab, engine: ScriptedEngine) -> None:
    """Streamed in small pieces and as a whole: nothing runs, nothing is fetched, nothing covers the page."""
    whole = "\n\n".join(HOSTILE)
    pieces = [whole[place : place + 7] for place in range(0, len(whole), 7)]
    engine.script = Script(pieces=[*pieces, "\n\nThe end."])
    tab.said("be hostile")
    tab.page.get_by_text("The end.").wait_for()
    tab.page.locator(".row.current").wait_for()  # all of it is kept
    tab.page.reload()
    tab.page.get_by_text("The end.").wait_for()
    assert tab.page.evaluate("window.ran") is None
    prose = tab.page.locator(".prose")
    for tag in ("img", "script", "style", "iframe", "svg", "form", "base", "math"):
        assert prose.locator(tag).count() == (
            0 if tag != "svg" else prose.locator("figcaption svg").count()
        ), tag
    links = prose.locator("a").evaluate_all("all => all.map((one) => one.getAttribute('href'))")
    assert all(link is None or link.startswith("http://192.0.2.1/") for link in links)
    styled = "all => all.filter((one) => one.style.length || one.className === 'app').length"
    assert prose.locator("*").evaluate_all(styled) == 0


def test_the_policy_lets_nothing_inline_run(tab: Tab, engine: ScriptedEngine, gateway: Gateway) -> None:
    policy = gateway.get("/chat/").headers["content-security-policy"]
    assert "unsafe" not in policy
    attempts = """() => [
        () => { document.body.innerHTML = '<b>x</b>' },
        () => document.body.setAttribute('onclick', 'window.ran = 1'),
        () => { document.createElement('script').text = 'window.ran = 1' },
    ].map((attempt) => { try { attempt(); return null } catch (error) { return error.name } })"""
    assert tab.page.evaluate(attempts) == ["TypeError"] * 3
    tab.page.wait_for_timeout(100)
    assert tab.faults.count("policy: require-trusted-types-for") == 3  # which the browser told of
    tab.faults.clear()


@pytest.mark.parametrize(
    "path", ["/chat/../app.py", "/chat/assets/../index.html", "/chat/assets/%2e%2e/index.html"]
)
def test_nothing_but_the_page_is_served(gateway: Gateway, engine: ScriptedEngine, path: str) -> None:
    assert gateway.get(path).status == 404
