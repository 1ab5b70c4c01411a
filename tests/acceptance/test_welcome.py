"""`GET /`: a page for people, JSON for programs."""

import os
import re
import shlex
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

from adapters import zephyr
from tests.acceptance.conftest import NewGateway
from tests.acceptance.gateway import Answer, Gateway
from tests.acceptance.keys import Holder
from tests.databases import NO_SPOOL
from tests.fakes.engine import ScriptedEngine

NODE = str(Path(sys.executable).parent / "node")
SHIPPED = Path(zephyr.__file__).parent / "endpoints"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


class Page(HTMLParser):
    """What a page refers to, and what it brings along."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.examples: list[str] = []
        """What is to be copied."""
        self._in_example = False
        self.feed(answer.body.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = {name: value or "" for name, value in attrs}
        self.attributes.update(found)
        if tag == "pre":
            self.examples.append("")
            self._in_example = True
        if tag == "a":
            self.links.append(found["href"])
        elif tag in ("link", "img", "script"):
            self.loaded.append(found.get("href") or found.get("src") or "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "pre":
            self._in_example = False

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._in_example:
            self.examples[-1] += data


def browse(gateway: Gateway, **headers: str) -> Page:
    answer = gateway.get("/", accept=BROWSER, **headers)
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return Page(answer)


@pytest.mark.parametrize("accept", ["application/json", "*/*", ""])
def test_a_program_gets_every_endpoint_of_the_api_as_json(
    gateway: Gateway, engine: ScriptedEngine, accept: str
) -> None:
    answer = gateway.get("/", accept=accept)
    assert answer.headers["content-type"] == "application/json"
    told = {(card["method"], card["path"]) for card in answer.json["endpoints"]}
    paths = gateway.get("/openapi.json").json["paths"]
    described = {(method.upper(), path) for path, operations in paths.items() for method in operations}
    assert told == (described - {("GET", "/")}) | {("WS", "/zephyr/ws/gpu-stats")}
    assert all(card["summary"] for card in answer.json["endpoints"])
    assert answer.json["model"] == {"name": "scripted-model", "ready": True, "problem": None}


def test_a_person_gets_a_page_with_every_endpoint(gateway: Gateway, engine: ScriptedEngine) -> None:
    page = browse(gateway)
    for card in gateway.get("/").json["endpoints"]:
        assert card["path"] in page.text
        assert card["summary"] in page.text
        assert card["example"] in page.text
    assert "scripted-model is ready" in page.text
    assert {"/chat/", "/docs", "/metrics", "https://huggingface.co/HuggingFaceH4/zephyr-7b-beta"} <= set(
        page.links
    )
    assert "https://arxiv.org/abs/2310.16944" in page.links


def test_the_page_loads_nothing_from_elsewhere_and_has_nothing_inline(
    gateway: Gateway, engine: ScriptedEngine
) -> None:
    page = browse(gateway)
    assert page.loaded
    for address in page.loaded:
        assert re.match(r"^/static/[\w.]+$", address)
        assert gateway.get(address).status == 200
    assert "style" not in page.tags
    assert page.tags.count("script") == 1  # which comes from a file, and adds buttons to copy with
    assert not {name for name in page.attributes if name == "style" or name.startswith("on")}
    policy = gateway.get("/", accept=BROWSER).headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")


def test_nothing_that_the_page_shows_becomes_a_part_of_it(
    new_gateway: NewGateway, engine: ScriptedEngine, tmp_path: Path
) -> None:
    file = (SHIPPED / "python.toml").read_text()
    odd = file.replace("/zephyr/python", "/zephyr/odd").replace("Ask the", "<script>x</script>")
    (tmp_path / "odd.toml").write_text(odd)
    # Here any name may be used to call.
    with new_gateway(
        ZEPHYR_ENDPOINTS_DIR=str(tmp_path), ZEPHYR_HOST="0.0.0.0", ZEPHYR_REQUIRE_KEYS="false"
    ) as gateway:
        page = browse(gateway, host='a"><script>x</script>')
    assert "<script>x</script> Python chatbot" in page.text
    assert page.tags.count("script") == 1


def test_the_examples_on_the_page_run(gateway: Gateway, engine: ScriptedEngine) -> None:
    posts = [card for card in gateway.get("/").json["endpoints"] if card["method"] == "POST"]
    cards = [card for card in posts if "{" not in card["path"]]  # whoever calls those has an id
    assert len(cards) >= 7
    for card in cards:
        words = [word for word in shlex.split(card["example"]) if word != "\n"]
        assert words[:2] == ["curl", gateway.url + card["path"]]
        options = dict(zip(words[2::2], words[3::2], strict=True))
        name, _, value = options["-H"].partition(": ")
        answer = gateway.post(card["path"], options["-d"].encode(), **{name: value})
        assert answer.status == 200, answer.body


def test_the_examples_in_python_and_javascript_run_as_they_stand(
    gateway: Gateway, engine: ScriptedEngine
) -> None:
    """Those of one endpoint that is posted to and of one that is read."""
    cards = {card["path"]: card for card in gateway.get("/").json["endpoints"] if card["method"] != "DELETE"}
    for path, expected in [("/zephyr/python", '"response":'), ("/healthz", "alive")]:
        for command, language in [
            ([sys.executable, "-c"], "Python"),
            ([NODE, "--input-type=module", "-e"], "JavaScript"),
        ]:
            example = cards[path]["examples"][language]
            done = subprocess.run(
                [*command, example], capture_output=True, text=True, timeout=30, check=False
            )
            assert expected in done.stdout, done.stderr


def test_where_keys_are_needed_every_example_sends_one_and_no_link_leads_nowhere(
    keyed: Gateway, admin: Holder, engine: ScriptedEngine
) -> None:
    page = browse(keyed)
    assert "/metrics" not in page.links
    assert "metrics" not in keyed.get("/").json["links"]
    assert 'api_key="none"' not in page.text
    key = admin.gives("newcomer").key
    curl, python, javascript = page.examples[:3]
    for command, example in ((["sh", "-c"], curl), ([sys.executable, "-c"], python)):
        environment = {"PATH": os.environ["PATH"], "ZEPHYR_KEY": key}
        done = subprocess.run(
            [*command, example], capture_output=True, text=True, timeout=30, check=False, env=environment
        )
        assert "Hello, world." in done.stdout, (example, done.stderr)
    assert "apiKey: process.env.ZEPHYR_KEY," in javascript


def test_while_the_engine_is_away_the_page_says_so(new_gateway: NewGateway, engine: ScriptedEngine) -> None:
    gateway = new_gateway(ENGINE_URL="http://127.0.0.1:1")
    gateway.start()
    try:
        gateway.wait_until_alive()
        assert "Not ready yet. The engine cannot be reached." in " ".join(browse(gateway).text.split())
        assert gateway.get("/").json["model"]["ready"] is False
    finally:
        gateway.kill()


def test_where_nothing_can_be_recorded_the_page_does_not_say_that_it_is_ready(
    new_gateway: NewGateway, engine: ScriptedEngine
) -> None:
    gateway = new_gateway(DATABASE_URL="postgresql://me@127.0.0.1:1/none", ZEPHYR_SPOOL_DIR=str(NO_SPOOL))
    gateway.start()
    try:
        gateway.wait_until_alive()
        deadline = time.monotonic() + 10
        while not gateway.get("/readyz").json["parts"]["engine"]["ready"] and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "Not ready yet. The database is away" in " ".join(browse(gateway).text.split())
        assert gateway.get("/").json["model"]["ready"] is False
    finally:
        gateway.kill()


def test_paths_outside_the_static_folder_are_not_served(gateway: Gateway, engine: ScriptedEngine) -> None:
    for path in ("/static/../routes.py", "/static/%2e%2e/routes.py", "/static/", "/static/absent.css"):
        assert gateway.get(path).status == 404
