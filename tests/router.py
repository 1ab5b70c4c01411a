"""The real router, for tests that need it."""

from pathlib import Path

import pytest

from tests import dockerfile

ROOT = Path(__file__).parents[1]
ROUTER_DOCKERFILE = ROOT / "deploy" / "router.Dockerfile"


@pytest.fixture(scope="session")
def router_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the router's Dockerfile leaves in the image."""
    return dockerfile.left_by(ROUTER_DOCKERFILE, "/opt/router", ROOT, tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="session")
def router_python(request: pytest.FixtureRequest) -> Path:
    """The Python of an environment with the router: that of this checkout, or of what the Dockerfile leaves."""
    ours = ROOT / ".venv-router" / "bin" / "python"
    home: Path = ours.parents[1] if ours.exists() else request.getfixturevalue("router_home")
    return home / "bin" / "python"
