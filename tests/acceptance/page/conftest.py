"""The chat page in the machine's Chromium, against the real gateway and the scripted engine."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from adapters.web.chat_page import BUILT
from tests.acceptance.gateway import Gateway
from tests.acceptance.page.wire import Wire

CHROMIUM = shutil.which("chromium")
_ARGUMENTS = [
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_WATCH_THE_POLICY = """
    addEventListener('securitypolicyviolation', (event) => console.error('policy: ' + event.violatedDirective));
"""


@dataclass
class Tab:
    """A page, and what it did that it must not do."""

    page: Page
    faults: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    """Other hosts that it asked for something."""

    def ask(self, text: str) -> None:
        """Send a message."""
        self.page.get_by_label("Message", exact=True).fill(text)
        self.page.keyboard.press("Enter")

    def said(self, text: str, **options: Any) -> None:
        """Ask, and wait for the whole answer."""
        last = "document.querySelector('.turn:last-child')"
        before = self.page.evaluate(f"{last}?.dataset.turn ?? null")
        self.ask(text)
        ended = f"before => {last} && {last}.dataset.turn !== before && !{last}.querySelector('.answer.open')"
        self.page.wait_for_function(ended, arg=before)

    def press(self, name: str) -> None:
        """Press the last button of this name."""
        self.page.get_by_role("button", name=name, exact=True).last.click()

    @property
    def answers(self) -> list[str]:
        """The answers on the screen."""
        texts: list[str] = self.page.locator(".answer .prose").all_text_contents()
        return [text.rstrip("\n") for text in texts]


NewTab = Callable[..., Tab]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, with an empty profile for each tab."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine: apt-get install chromium")
    if not (BUILT / "index.html").is_file():
        pytest.skip("the page is not built: setup/page.py builds it, which needs npm's registry")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def tabs(browser: Browser, gateway: Gateway) -> Iterator[NewTab]:
    """Opens the page in a browser of its own. At the end nothing may have been asked of another host, nothing refused by
    the policy, and no error raised."""
    tabs: list[Tab] = []
    contexts: list[BrowserContext] = []

    def open(at: Gateway | Wire = gateway, path: str = "/chat/", **options: Any) -> Tab:
        own = at.url
        context = browser.new_context(**options)
        context.set_default_timeout(8000)
        contexts.append(context)
        tab = Tab(context.new_page())
        tabs.append(tab)
        tab.page.add_init_script(_WATCH_THE_POLICY)
        tab.page.on("pageerror", lambda error: tab.faults.append(str(error)))
        tab.page.on("console", lambda line: _note(tab, line))
        tab.page.on("request", lambda request: _note_host(tab, request.url, own))
        tab.page.on("websocket", lambda socket: _note_host(tab, socket.url, own))
        tab.page.goto(own + path)
        tab.page.get_by_label("Message", exact=True).wait_for()
        return tab

    yield open
    for context in contexts:
        context.close()
    for tab in tabs:
        assert not tab.faults
        assert not tab.hosts


@pytest.fixture(scope="module")  # while it is open no test can start a loop of its own
def browser() -> Iterator[Browser]:
    """The browser of one file's tests."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def new_tab(browser: Browser, gateway: Gateway) -> Iterator[NewTab]:
    """Opens the page of the shared gateway, or of another one."""
    with tabs(browser, gateway) as open:
        yield open


@pytest.fixture
def tab(new_tab: NewTab) -> Tab:
    """The page, opened."""
    return new_tab()


def _note(tab: Tab, line: ConsoleMessage) -> None:
    # The browser itself logs each answer that is an error and each lost socket, which some tests are about.
    expected = ("Failed to load resource", "WebSocket connection to")
    if line.type == "error" and not line.text.startswith(expected):
        tab.faults.append(line.text)


def _note_host(tab: Tab, url: str, own: str) -> None:
    if urlsplit(url).netloc not in ("", urlsplit(own).netloc):  # a blob has none
        tab.hosts.add(url)
