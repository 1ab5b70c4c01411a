"""`/chat`: the built page with its policy, or how to build it."""

from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from adapters.web import chat_page


@pytest.fixture
def built(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>Zephyr</title>")
    (tmp_path / "assets" / "index-1a2b.js").write_text("export {}")
    (tmp_path / "sources.sha256").write_text("0")
    return tmp_path


def client(folder: Path) -> TestClient:
    api = FastAPI()
    chat_page.add(api, folder)
    return TestClient(api)


def test_the_page_has_a_policy_without_exceptions_and_is_asked_for_anew(built: Path) -> None:
    page = client(built).get("/chat/")
    assert (page.status_code, page.headers["cache-control"]) == (200, "no-cache")
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in page.headers["content-security-policy"]


def test_files_named_after_their_content_are_kept_for_ever(built: Path) -> None:
    script = client(built).get("/chat/assets/index-1a2b.js")
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert script.headers["x-content-type-options"] == "nosniff"
    assert client(built).get("/chat/assets/absent.js").status_code == 404
    assert client(built).get("/chat/sources.sha256").status_code == 404


def test_the_address_without_a_slash_leads_to_it_behind_any_prefix(built: Path) -> None:
    answer = client(built).get("/chat", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "chat/")


def test_without_the_page_one_is_told_how_to_build_it_and_it_is_there_once_it_is_built(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "later"
    asked = client(folder)
    missing = asked.get("/chat/")
    assert missing.status_code == 404
    assert "setup/page.py" in missing.text
    assert asked.get("/chat/assets/a.js").status_code == 404
    (folder / "assets").mkdir(parents=True)
    (folder / "assets" / "a.js").write_text("1")
    (folder / "index.html").write_text("built")
    assert asked.get("/chat/").text == "built"
    assert asked.get("/chat/assets/a.js").status_code == 200
