"""The chat page: how much its first view loads, and how long a token takes from its arrival to the screen.

    .venv/bin/python -m benchmarks.page

Needs Chromium. The real gateway serves the page; a scripted engine writes an answer of 2 000 tokens of Markdown, a
token each 10 ms. A token has arrived when the page's reader gets it, and is on the screen with the first frame after its
text is in the document.
"""

import shutil
import tempfile
from pathlib import Path
from statistics import quantiles
from typing import Any

from playwright.sync_api import Page, sync_playwright

from benchmarks.database import embedded_database
from tests.acceptance.gateway import Gateway
from tests.fakes.engine import Script, ScriptedEngine

TOKENS = 2000
LAST = 500
_WATCH = """
    window.arrived = {}; window.painted = {};
    const read = ReadableStreamDefaultReader.prototype.read;
    ReadableStreamDefaultReader.prototype.read = async function () {
        const piece = await read.call(this);
        if (piece.value) for (const [, number] of new TextDecoder().decode(piece.value).matchAll(/t(\\d+)\\b/g))
            window.arrived[number] ??= performance.now();
        return piece;
    };
    // Text that comes into the document within a frame's callbacks is painted with this frame, else with the next one.
    const request = window.requestAnimationFrame.bind(window), over = new MessageChannel();
    let inFrame = false;
    over.port1.onmessage = () => { inFrame = false };
    window.requestAnimationFrame = (callback) => request((time) => {
        inFrame = true;
        over.port2.postMessage(0);
        callback(time);
    });
    let next = 0, waiting = false;
    addEventListener('DOMContentLoaded', () => new MutationObserver(() => {
        if (waiting) return;
        waiting = true;
        const shown = [...(document.querySelector('.prose')?.textContent.slice(-400) ?? '').matchAll(/t(\\d+)\\b/g)];
        const last = Number(shown.at(-1)?.[1] ?? -1);
        (inFrame ? (paint) => paint() : request)(() => {
            const after = new MessageChannel();
            after.port1.onmessage = () => {
                const now = performance.now();
                for (; next <= last; next++) window.painted[next] = now;
                waiting = false;
            };
            after.port2.postMessage(0);
        });
    }).observe(document.body, { childList: true, subtree: true, characterData: true }));
"""
_LOADED = """() => performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'))
    .filter((one) => /\\/(chat|static)\\//.test(one.name)).map((one) => one.decodedBodySize)"""


def pieces() -> list[str]:
    """Paragraphs, lists, tables and code; each piece holds its number."""
    shapes = [
        "**t{}** ",
        "t{} ",
        "t{} ",
        "`t{}` ",
        "t{}\n\n",
        "- t{}\n",
        "- t{}\n",
        "- t{}\n\n",
        "t{} ",
        "t{}.\n\n",
    ]
    text = [shapes[number % len(shapes)].format(number) for number in range(TOKENS)]
    for start in range(100, TOKENS, 250):
        text[start] = f"\n\n```python\nx = t{start}\n"
        for number in range(start + 1, start + 30):
            text[number] = f"y = t{number}  # a line\n"
        text[start + 30] = f"```\n\nt{start + 30} "
    return text


def measure(page: Page, url: str) -> tuple[list[int], list[float]]:
    """Bytes of each file of the first view, and milliseconds of each of the last tokens."""
    page.add_init_script(_WATCH)
    page.goto(url + "/chat/")
    page.get_by_label("Message", exact=True).fill("Write much")
    loaded: list[int] = page.evaluate(_LOADED)
    page.keyboard.press("Enter")
    page.locator(".answer.done").wait_for(timeout=120_000)
    times: Any = page.evaluate(
        "() => Object.keys(window.painted).map((number) => window.painted[number] - window.arrived[number])"
    )
    return loaded, [float(one) for one in times[-LAST:]]


def main() -> None:
    """Measure, and print."""
    with (
        tempfile.TemporaryDirectory(prefix="zephyr-") as folder,
        embedded_database(Path(folder)) as database,
        ScriptedEngine() as engine,
        sync_playwright() as playwright,
    ):
        engine.script = Script(pieces=pieces(), pause=0.01)
        environment = {"ENGINE_URL": engine.url, "DATABASE_URL": database.url}
        with Gateway(Path(folder) / "gateway.log", **environment) as gateway:
            arguments = ["--no-sandbox", "--disable-gpu"]
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
            loaded, times = measure(browser.new_page(), gateway.url)
            browser.close()
    cuts = quantiles(times, n=20)
    print(f"first view: {len(loaded)} files, {sum(loaded) / 1000:.0f} kB before compression")
    print(
        f"token to paint, last {len(times)} of {TOKENS}: median {cuts[9]:.0f} ms, p95 {cuts[18]:.0f} ms, longest {max(times):.0f} ms"
    )


if __name__ == "__main__":
    main()
