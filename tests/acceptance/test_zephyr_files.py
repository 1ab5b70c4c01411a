"""An endpoint is a file: a user adds one by adding one. The file is the one that the documentation shows."""

from pathlib import Path

import pytest

from tests.acceptance.conftest import NewGateway
from tests.acceptance.gateway import ROOT
from tests.fakes.engine import ScriptedEngine

TRANSLATE = (ROOT / "docs" / "endpoints.md").read_text().partition("```toml\n")[2].partition("```")[0]


def test_a_file_makes_a_route_its_validation_and_its_description(
    new_gateway: NewGateway, engine: ScriptedEngine, tmp_path: Path
) -> None:
    (tmp_path / "translate.toml").write_text(TRANSLATE)
    with new_gateway(ZEPHYR_ENDPOINTS_DIR=str(tmp_path)) as gateway:
        described = gateway.get("/openapi.json").json["paths"]["/zephyr/translate"]["post"]
        assert described["summary"] == "Translate"
        body = described["requestBody"]["content"]["application/json"]
        assert list(body["schema"]["properties"])[:4] == ["text", "language", "formal", "lines"]
        assert gateway.post("/zephyr/translate", body["example"]).json["response"] == "Hello, world."
        assert engine.one().json["messages"] == [
            {"role": "system", "content": "Translate into French. Be formal."},
            {"role": "user", "content": "Good morning."},
        ]
        refused = gateway.post("/zephyr/translate", {"text": "x", "lines": 12})
        assert (refused.status, refused.error["param"]) == (400, "lines")
        assert gateway.post("/zephyr/translate?text=x", b"").status == 200
        assert gateway.post("/zephyr/python", {"user_message": "x"}).status == 200


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("{text}", "{txet}", "translate.toml: user: there is no field {txet}"),
        ('text = "Good', 'lines = 10\ntext = "Good', "/zephyr/translate: example: lines"),
        ("/zephyr/translate", "/zephyr/raw", "path: /zephyr/raw is already described by"),
    ],
)
def test_a_gateway_with_a_bad_file_refuses_to_start_and_names_it(
    new_gateway: NewGateway, tmp_path: Path, old: str, new: str, named: str
) -> None:
    (tmp_path / "translate.toml").write_text(TRANSLATE.replace(old, new, 1))
    gateway = new_gateway(ZEPHYR_ENDPOINTS_DIR=str(tmp_path))
    gateway.start()
    assert gateway.process.wait(30) == 2
    assert named in gateway.log_text
    assert "Traceback" not in gateway.log_text


def test_a_folder_that_is_not_there_is_refused_by_its_variable(new_gateway: NewGateway) -> None:
    gateway = new_gateway(ZEPHYR_ENDPOINTS_DIR="/absent")
    gateway.start()
    assert gateway.process.wait(30) == 2
    assert "ZEPHYR_ENDPOINTS_DIR" in gateway.log_text
