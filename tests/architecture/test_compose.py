"""The compose file and the Dockerfiles: valid, pinned, and made of settings that exist."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from docs.write_settings import gateway_variables, host_variables
from tests import dockerfile

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILES = sorted((ROOT / "deploy").glob("*.Dockerfile"))
OTHERS_VARIABLES = {
    "PATH",
    "HOME",
    "LOGNAME",
    "PYTHONUNBUFFERED",
    "PYTHONDONTWRITEBYTECODE",
    "PGPASSWORD",  # libpq's, which asyncpg reads
    "POSTGRES_USER",
    "POSTGRES_DB",
    "POSTGRES_PASSWORD_FILE",
}
"""What is not ours to define. Anything else that is set must be a setting of one of the two programs."""


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    content: dict[str, Any] = YAML(typ="safe").load(COMPOSE)
    return content


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose["services"]
    return found


def test_compose_file_is_valid_by_the_compose_specification() -> None:
    """The schema that compose itself uses takes it."""
    run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE))


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_dockerfile_has_nothing_to_complain_of(file: Path) -> None:
    """hadolint finds nothing."""
    run("hadolint", str(file))


def test_every_variable_that_is_set_is_a_setting_of_the_program_that_gets_it(
    services: dict[str, dict[str, Any]],
) -> None:
    """A misspelt or removed setting in the compose file is found here, not on the night of the upgrade."""
    assert names(services, "gateway") | names(services, "migrate") <= gateway_variables() | OTHERS_VARIABLES
    assert names(services, "engine") <= host_variables() | OTHERS_VARIABLES
    assert names(services, "postgres") <= OTHERS_VARIABLES
    for file in DOCKERFILES:
        assert set(dockerfile.variables(file)) <= gateway_variables() | host_variables() | OTHERS_VARIABLES


def test_what_the_operator_must_choose_has_no_default_and_is_documented() -> None:
    """A password that is not set stops compose at once; none is written here."""
    interpolated = re.findall(r"\$\{([^}]*)\}", COMPOSE.read_text())
    assert interpolated
    documentation = (ROOT / "deploy" / "README.md").read_text()
    for expression in interpolated:
        name, required, _ = expression.partition(":?")
        assert required, f"{expression} has a default"
        assert name in documentation


def test_only_the_gateway_has_a_port_and_it_is_on_this_machine_alone(
    services: dict[str, dict[str, Any]],
) -> None:
    """Neither the engine nor the database can be reached from outside."""
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {"gateway": ["127.0.0.1:8000:8000"]}


def test_engine_shares_no_network_with_another_service(services: dict[str, dict[str, Any]]) -> None:
    """The verified socket is the only way to it."""
    others = {network for name, one in services.items() if name != "engine" for network in one["networks"]}
    assert not others & set(services["engine"]["networks"])


def test_gateway_looks_for_the_engine_where_the_engine_publishes_itself(
    services: dict[str, dict[str, Any]],
) -> None:
    """Both see one volume at one path, under one user."""
    engine, gateway = DOCKERFILES
    home = dockerfile.variables(engine)["ZEPHYR_HOME"]
    assert services["gateway"]["environment"]["ENGINE_URL"] == f"unix:{home}/run/engine.sock"
    assert f"engine-socket:{home}/run" in services["engine"]["volumes"]
    assert f"engine-socket:{home}/run:ro" in services["gateway"]["volumes"]
    users = {user(file).split(":")[0] for file in (engine, gateway)}
    assert len(users) == 1
    assert users.isdisjoint({"0", "root"})


def test_database_is_kept_on_a_named_volume_where_its_image_writes(
    compose: dict[str, Any], services: dict[str, dict[str, Any]]
) -> None:
    """From 18 on the image keeps its data one folder higher than before."""
    assert int(services["postgres"]["image"].removeprefix("postgres:")) >= 18
    assert services["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]
    assert "postgres" in compose["volumes"]


def test_spool_is_on_a_named_volume_that_the_gateway_may_write_to(
    compose: dict[str, Any], services: dict[str, dict[str, Any]]
) -> None:
    """What waits in it may be nowhere else, and the container's own files end with it."""
    folder = services["gateway"]["environment"]["ZEPHYR_SPOOL_DIR"]
    assert f"spool:{folder}" in services["gateway"]["volumes"]
    assert "spool" in compose["volumes"]
    made = [one.rest for one in dockerfile.instructions(DOCKERFILES[1]) if "install -d -o 2000" in one.rest]
    assert any(folder in line.split() for line in made)


@pytest.mark.parametrize("name", ["engine", "gateway", "postgres"])
def test_service_that_stays_up_is_watched_restarted_and_bounded(
    name: str, services: dict[str, dict[str, Any]]
) -> None:
    """It has a health check with patience, a restart policy, rotated logs and time to stop."""
    service = services[name]
    assert seconds(service["healthcheck"]["start_period"]) >= 30
    assert service["restart"] == "unless-stopped"
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}
    assert "no-new-privileges:true" in service["security_opt"]
    assert "stop_grace_period" in service


def test_gateway_may_stop_for_longer_than_it_drains(services: dict[str, dict[str, Any]]) -> None:
    """Running answers, their last commit and the connections end before docker kills."""
    from adapters.settings import LogSettings, ServerSettings

    drain = ServerSettings.model_fields["drain_seconds"].default
    commit = LogSettings.model_fields["log_commit_deadline"].default
    assert seconds(services["gateway"]["stop_grace_period"]) > drain + commit + 2


def test_gateway_runs_with_as_little_as_it_needs(services: dict[str, dict[str, Any]]) -> None:
    """No capability, and nothing that it can write but a temporary folder in memory and the spool."""
    for name in ("gateway", "migrate"):
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]


def test_images_are_pinned_and_the_engine_is_the_version_that_is_locked() -> None:
    """No `latest`, and one version of vLLM wherever it runs."""
    images = re.findall(r"image: (\S+)", COMPOSE.read_text())
    images += [image for file in DOCKERFILES for image in dockerfile.base_images(file)]
    assert images
    for image in images:
        assert re.fullmatch(r"[\w/-]+:v?\d[\w.-]*", image), f"{image} is not pinned"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (locked,) = project["optional-dependencies"]["engine"]
    assert f"vllm/vllm-openai:v{locked.removeprefix('vllm==')}" in images
    assert {image.partition(":")[2] for image in images if image.startswith("zephyr-")} == {
        project["version"]
    }


def test_build_context_holds_what_the_dockerfiles_copy() -> None:
    """What the ignore file does not let through cannot be copied."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    let_through = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert {source for file in DOCKERFILES for source in dockerfile.copied(file)} == let_through
    for name in let_through:
        assert (ROOT / name).exists(), name


def names(services: dict[str, dict[str, Any]], service: str) -> set[str]:
    return set(services[service].get("environment", {}))


def user(file: Path) -> str:
    return [one.rest for one in dockerfile.instructions(file) if one.name == "USER"][-1]


def seconds(duration: str) -> float:
    """Compose's `1h2m3s`."""
    units = {"h": 3600, "m": 60, "s": 1}
    parts = re.findall(r"(\d+)([hms])", duration)
    assert "".join(number + unit for number, unit in parts) == duration
    return sum(int(number) * units[unit] for number, unit in parts)


def run(program: str, *arguments: str) -> None:
    """Run a validator of the development environment."""
    command = [str(Path(sys.executable).parent / program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
