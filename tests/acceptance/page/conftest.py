"""The chat page in the machine's Chromium, against the real gateway and the scripted engine."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

from adapters.web.chat_page import BUILT
from tests.acceptance.gateway import Gateway

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

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

    page: Any
    faults: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def ask(self, text: str) -> None:
        """Send a message."""
        self.page.get_by_label("Message", exact=True).fill(text)
        self.page.keyboard.press("Enter")

    def said(self, text: str, **options: Any) -> None:
        """Ask, and wait for the whole answer."""
        before = self.page.locator(".answer:not(.open)").count()
        self.ask(text)
        self.page.wait_for_function("n => document.querySelectorAll('.answer:not(.open)').length > n", arg=before)

    def press(self, name: str) -> None:
        """Press the last button of this name."""
        self.page.get_by_role("button", name=name, exact=True).last.click()

    @property
    def answers(self) -> list[str]:
        """The answers on the screen."""
        texts: list[str] = self.page.locator(".answer .prose").all_inner_texts()
        return texts


NewTab = Callable[..., Tab]


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """Debian's Chromium, with an empty profile for each tab."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine: apt-get install chromium")
    if not (BUILT / "index.html").is_file():
        pytest.skip("the page is not built: setup/page.py builds it, which needs npm's registry")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def new_tab(browser: Any, gateway: Gateway) -> Iterator[NewTab]:
    """Opens the page in a browser of its own. At the end nothing may have been asked of another host, nothing refused by
    the policy, and no error raised."""
    tabs: list[Tab] = []
    contexts: list[Any] = []

    def open(at: Gateway = gateway, path: str = "/chat/", **options: Any) -> Tab:
        context = browser.new_context(**options)
        context.set_default_timeout(8000)
        contexts.append(context)
        tab = Tab(context.new_page())
        tabs.append(tab)
        tab.page.add_init_script(_WATCH_THE_POLICY)
        tab.page.on("pageerror", lambda error: tab.faults.append(str(error)))
        tab.page.on("console", lambda line: _note(tab, line))
        tab.page.on("request", lambda request: tab.hosts.add(urlsplit(request.url).netloc))
        tab.page.goto(at.url + path)
        tab.page.get_by_label("Message", exact=True).wait_for()
        tab.hosts.discard(urlsplit(at.url).netloc)
        tab.hosts.discard("")  # blob: of an export
        return tab

    yield open
    for context in contexts:
        context.close()
    for tab in tabs:
        assert not tab.faults
        assert {host for host in tab.hosts if not host.startswith("127.0.0.1:") and host}.issubset(set())


@pytest.fixture
def tab(new_tab: NewTab) -> Tab:
    """The page, opened."""
    return new_tab()


def _note(tab: Tab, line: Any) -> None:
    # The browser itself logs each answer that is an error, which some tests are about.
    if line.type == "error" and "Failed to load resource" not in line.text:
        tab.faults.append(line.text)
