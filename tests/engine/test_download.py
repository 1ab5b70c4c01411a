"""Fetching a model from the hub, which is played by a small server here."""

import http.server
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.settings import Settings
from tests.acceptance.gateway import ROOT

pytestmark = pytest.mark.engine

SCRIPT = ROOT / "serving" / "engine" / "download_model.py"
COMMIT = "0123456789012345678901234567890123456789"
FILES = {
    "config.json": b'{"model_type": "llama"}',
    "model.safetensors": b"weights" * 1000,
    "pytorch_model.bin": b"x",
}


class Hub(http.server.BaseHTTPRequestHandler):
    """One request to a hub that has one model."""

    size_told = 0

    def do_GET(self) -> None:
        if self.path.startswith("/api/models/owner/mine"):
            if COMMIT not in self.path and "main" not in self.path:
                self.reply(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
                return
            if "/tree/" in self.path:
                tree = [
                    {"type": "file", "path": name, "size": len(FILES[name]), "oid": name} for name in FILES
                ]
                self.reply(200, json.dumps(tree).encode())
                return
            siblings = [{"rfilename": name, "size": len(FILES[name]) + self.size_told} for name in FILES]
            self.reply(200, json.dumps({"id": "owner/mine", "sha": COMMIT, "siblings": siblings}).encode())
        elif self.path.rpartition("/")[2] in FILES and "owner/mine" in self.path:
            name = self.path.rpartition("/")[2]
            self.reply(200, FILES[name], {"X-Repo-Commit": COMMIT, "ETag": f'"{name}"'})
        else:
            self.reply(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET  # noqa: N815

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def hub() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def fetch(hub: str, home: Path, model: str = "owner/mine", revision: str = COMMIT) -> tuple[str, Path]:
    """What the script printed last, and the file that holds its answer."""
    answer = home / "answer"
    answer.unlink(missing_ok=True)
    done = subprocess.run(
        [str(Settings.read().engine_python), str(SCRIPT), model, revision, str(answer)],
        env=os.environ | {"HF_ENDPOINT": hub, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == answer.exists(), done.stdout
    assert "Traceback" not in done.stdout, done.stdout
    return done.stdout.strip().rpartition("\n")[2], answer


def test_model_is_fetched_and_found_again_without_a_network(hub: str, tmp_path: Path) -> None:
    """What vLLM reads, and not a second copy of the weights in another format."""
    _, answer = fetch(hub, tmp_path)
    folder = Path(answer.read_text())
    assert {file.name for file in folder.iterdir()} == {"config.json", "model.safetensors"}
    assert (folder / "config.json").read_bytes() == FILES["config.json"]
    _, again = fetch("http://127.0.0.1:9", tmp_path)
    assert Path(again.read_text()) == folder


@pytest.mark.parametrize(
    ("model", "revision", "message"),
    [
        ("owner/other", COMMIT, "the hub has no model owner/other, or not for you: check ZEPHYR_MODEL"),
        ("owner/mine", "gone", "owner/mine has no revision gone on the hub: check ZEPHYR_MODEL_REVISION"),
    ],
)
def test_model_that_the_hub_does_not_have_is_told(
    hub: str, tmp_path: Path, model: str, revision: str, message: str
) -> None:
    """With the setting to look at."""
    assert message in fetch(hub, tmp_path, model, revision)[0]


def test_hub_that_does_not_answer_is_told(tmp_path: Path) -> None:
    """A machine without a network, and with nothing fetched before."""
    assert "Is this machine online?" in fetch("http://127.0.0.1:9", tmp_path)[0]


def test_model_that_does_not_fit_the_disk_is_not_begun(
    hub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says how much is needed and what to set."""
    monkeypatch.setattr(Hub, "size_told", 2**50)
    said, _ = fetch(hub, tmp_path)
    assert "owner/mine needs 1048577 GiB more" in said
    assert "HF_HOME" in said
