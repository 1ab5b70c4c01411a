"""Whatever is sent to the documented addresses, the gateway answers as it documents, and never fails."""

from pathlib import Path

import pytest

from tests.acceptance import generated
from tests.acceptance.gateway import Gateway
from tests.fakes.engine import ScriptedEngine


@pytest.mark.parametrize("door", generated.DOORS)
def test_documented_api_holds(gateway: Gateway, engine: ScriptedEngine, tmp_path: Path, door: str) -> None:
    """None of the generated requests is a surprise."""
    run = generated.send(gateway.url, door, tmp_path, examples=20)
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    assert engine.seen, "no generated request was good enough for the engine"
