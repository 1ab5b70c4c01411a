"""The compose file and the Dockerfiles: valid, pinned, and made of settings that exist."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from adapters.settings import LogSettings, Settings
from docs.write_settings import gateway_variables, host_variables
from serving import router
from tests import dockerfile

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILES = sorted((ROOT / "deploy").glob("*.Dockerfile"))
WAYS = ("gpu", "cpu", "replicas")
ENGINES = ("engine", "engine-cpu", "engine-0", "engine-1")
REPLICAS = ENGINES[2:]
OTHERS_VARIABLES = {
    "PATH",
    "HOME",
    "LOGNAME",
    "PYTHONUNBUFFERED",
    "PYTHONDONTWRITEBYTECODE",
    "RUST_LOG",
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
    for engine in ENGINES:
        assert names(services, engine) <= host_variables() | OTHERS_VARIABLES
    assert names(services, "postgres") <= OTHERS_VARIABLES
    assert not names(services, "router")
    for file in DOCKERFILES:
        assert set(dockerfile.variables(file)) <= gateway_variables() | host_variables() | OTHERS_VARIABLES


def test_every_way_to_run_it_is_one_file_and_sets_all_that_has_no_default(
    services: dict[str, dict[str, Any]],
) -> None:
    """Compose refuses to start without one, and says which to copy."""
    wanted = set()
    for expression in re.findall(r"\$\{([^}]*)\}", COMPOSE.read_text()):
        name, required, message = expression.partition(":?")
        assert required and message == "copy deploy/gpu.env to .env", expression
        wanted.add(name)
    for way in WAYS:
        assert set(way_of(way)) == wanted | {"COMPOSE_PROFILES"}
        assert way_of(way)["COMPOSE_PROFILES"] == way
    profiles = {profile for service in services.values() for profile in service.get("profiles", [])}
    assert profiles == set(WAYS)
    assert {path.stem for path in (ROOT / "deploy").glob("*.env")} == set(WAYS)


@pytest.mark.parametrize("way", WAYS)
def test_settings_of_a_way_are_taken_by_the_gateway(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What compose would pass on starts a gateway."""
    for name, value in way_of(way).items():
        monkeypatch.setenv(name, value)
    settings = Settings.read()
    assert settings.engine.engine_url == way_of(way)["ENGINE_URL"]
    assert settings.access.engine_spare == settings.access.engine_concurrency // 8


def test_secrets_are_files_that_git_and_the_images_do_not_see(
    compose: dict[str, Any], services: dict[str, dict[str, Any]]
) -> None:
    """None is in an environment, which `docker inspect` shows; each that is used is made by the documentation."""
    documentation = (ROOT / "deploy" / "README.md").read_text()
    for name, secret in compose["secrets"].items():
        assert secret == {"file": f"deploy/secrets/{name}"}
        assert secret["file"] in documentation
    used = {secret for service in services.values() for secret in service.get("secrets", [])}
    assert used == set(compose["secrets"])
    assert "deploy/secrets/" in (ROOT / ".gitignore").read_text().splitlines()
    assert "PASSWORD:" not in COMPOSE.read_text()
    for name, service in services.items():
        for variable, value in service.get("environment", {}).items():
            if variable.endswith("_FILE"):
                assert str(value).removeprefix("/run/secrets/") in service["secrets"], name


def test_only_the_gateway_has_a_port_and_it_is_on_this_machine_alone(
    services: dict[str, dict[str, Any]],
) -> None:
    """Neither the engine nor the database can be reached from outside."""
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {"gateway": ["127.0.0.1:8000:8000"]}


def test_only_the_router_reaches_the_replicas_and_only_the_gateway_the_router(
    compose: dict[str, Any], services: dict[str, dict[str, Any]]
) -> None:
    """An engine that has a socket shares no network at all; those of replicas lead nowhere else."""
    on = {
        network: {name for name, one in services.items() if network in one["networks"]}
        for network in compose["networks"]
    }
    assert on["engines"] == {*REPLICAS, "router"}
    assert on["routed"] == {"router", "gateway"}
    assert on["download"] == set(ENGINES)
    assert on["database"] == {"postgres", "migrate", "gateway"}
    assert on["edge"] == {"gateway"}
    for network in ("engines", "routed", "database"):
        assert compose["networks"][network] == {"internal": True}


@pytest.mark.parametrize(("way", "engine"), [("gpu", "engine"), ("cpu", "engine-cpu")])
def test_gateway_looks_for_the_engine_where_the_engine_publishes_itself(
    way: str, engine: str, services: dict[str, dict[str, Any]]
) -> None:
    """Both see one volume at one path, under one user."""
    built = ROOT / services[engine]["build"]["dockerfile"]
    home = dockerfile.variables(built)["ZEPHYR_HOME"]
    assert services[engine]["profiles"] == [way]
    assert way_of(way)["ENGINE_URL"] == f"unix:{home}/run/engine.sock"
    assert f"engine-socket:{home}/run" in services[engine]["volumes"]
    assert f"engine-socket:{home}/run:ro" in services["gateway"]["volumes"]
    assert services[engine]["healthcheck"]["test"] == ["CMD", "test", "-S", f"{home}/run/engine.sock"]


def test_gateway_reaches_the_replicas_through_the_router(services: dict[str, dict[str, Any]]) -> None:
    """Each has a GPU, a home and a port of its own, and the router knows them all."""
    environments = [services[name]["environment"] for name in REPLICAS]
    assert {one["ZEPHYR_ENGINE_HOST"] for one in environments} == {"0.0.0.0"}
    urls = [
        f"http://{name}:{one['ZEPHYR_ENGINE_PORT']}" for name, one in zip(REPLICAS, environments, strict=True)
    ]
    assert services["router"]["command"] == ["--worker-urls", *urls]
    assert way_of("replicas")["ENGINE_URL"] == "http://router:8000"
    devices = [
        services[name]["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"] for name in REPLICAS
    ]
    assert devices == [["0"], ["1"]]
    homes = [services[name]["volumes"] for name in REPLICAS]
    assert homes == [[f"{name}-home:/var/lib/zephyr"] for name in REPLICAS]
    assert all(services[name]["profiles"] == ["replicas"] for name in (*REPLICAS, "router"))


def test_no_image_runs_as_root() -> None:
    """And those that share a volume run as one user."""
    assert {user(file).split(":")[0] for file in DOCKERFILES} == {"2000"}


def test_every_volume_is_named_and_every_name_is_used(
    compose: dict[str, Any], services: dict[str, dict[str, Any]]
) -> None:
    """What is on a volume without a name is lost when its container is made anew."""
    used = {volume.split(":")[0] for service in services.values() for volume in service.get("volumes", [])}
    assert used == set(compose["volumes"])


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
    gateway = ROOT / services["gateway"]["build"]["dockerfile"]
    made = [one.rest for one in dockerfile.instructions(gateway) if "install -d -o 2000" in one.rest]
    assert any(folder in line.split() for line in made)


@pytest.mark.parametrize("name", [*ENGINES, "router", "gateway", "postgres"])
def test_service_that_stays_up_is_watched_restarted_and_bounded(
    name: str, services: dict[str, dict[str, Any]]
) -> None:
    """It has a health check with patience, a restart policy, rotated logs and time to stop."""
    service = services[name]
    assert seconds(service["healthcheck"]["start_period"]) >= (
        30 if name in ("gateway", "postgres") else 1800
    )
    assert service["restart"] == "unless-stopped"
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}
    assert "no-new-privileges:true" in service["security_opt"]
    assert "stop_grace_period" in service


def test_gateway_may_stop_for_longer_than_it_drains(services: dict[str, dict[str, Any]]) -> None:
    """Running answers, their last commit and the connections end before docker kills."""
    gateway = services["gateway"]
    drain = gateway["environment"]["ZEPHYR_DRAIN_SECONDS"]
    commit = LogSettings.model_fields["log_commit_deadline"].default
    leaving = 3  # for streams to be told, and 2 for connections
    assert seconds(gateway["stop_grace_period"]) > drain + leaving + commit + 2
    assert seconds(services["router"]["stop_grace_period"]) > drain


@pytest.mark.parametrize("name", ["gateway", "migrate", "postgres", "router", *ENGINES])
def test_service_runs_with_as_little_as_it_needs(name: str, services: dict[str, dict[str, Any]]) -> None:
    """No capability, and nothing that it can write but temporary files in memory and its volumes."""
    assert services[name]["read_only"] is True
    assert services[name]["cap_drop"] == ["ALL"]
    assert services[name].get("cap_add", []) == (["SYS_NICE"] if name == "engine-cpu" else [])
    assert "no-new-privileges:true" in services[name]["security_opt"]


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


def way_of(name: str) -> dict[str, str]:
    """What one of the files that are copied to .env sets."""
    lines = (ROOT / "deploy" / f"{name}.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


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


def test_router_is_the_same_in_its_image_and_on_a_bare_machine() -> None:
    """What was found out about one holds for the other."""
    file = ROOT / "deploy" / "router.Dockerfile"
    (given,) = (one.rest for one in dockerfile.instructions(file) if one.name == "ENTRYPOINT")
    program, *arguments = json.loads(given)
    assert program == "vllm-router"
    assert arguments == ["--host", "0.0.0.0", "--port", "8000", *router.ARGUMENTS]
    assert router.ENVIRONMENT.items() <= dockerfile.variables(file).items()
    assert way_of("replicas")["ZEPHYR_ENGINE_TRIES"] == "2"
