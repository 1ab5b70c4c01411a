"""The relays that are compared, and how each is installed and started.

    python -m benchmarks.peers install

puts those that come from a package index into environments of their own. nginx is a package of the system's.
"""

import secrets
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_OUR_CODE = {"PYTHONPATH": str(Path(__file__).parents[1])}
_ENVIRONMENTS = Path.home() / ".cache" / "zephyr-benchmarks"
_PINNED = {
    "vllm-router": "vllm-router==0.1.17",
    "litellm": "litellm[proxy]==1.106.2",  # later ones have not been looked at
}


class NotInstalled(Exception):
    """A relay is not on this machine; the message says how it comes there."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a relay stands."""

    port: int
    engine_port: int
    folder: Path
    """For its files."""
    database_url: str
    """A migrated database for the one relay that logs."""

    @property
    def engine_url(self) -> str:
        return f"http://127.0.0.1:{self.engine_port}"


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How a relay is started, and the API key that it wants."""

    command: Sequence[str | Path]
    environment: Mapping[str, str] = field(default_factory=dict)
    api_key: str = "none"


def ours(place: Place) -> Launch:
    """The gateway as it ships: checked, logged, commit awaited."""
    settings = {
        "ZEPHYR_PORT": str(place.port),
        "ZEPHYR_ADMIN_PORT": "0",
        "ZEPHYR_ENGINE_CONCURRENCY": "4096",  # the null engine takes all that are held at once
        "ENGINE_URL": place.engine_url,
        "DATABASE_URL": place.database_url,
        "ZEPHYR_SPOOL_DIR": str(place.folder / "spool"),
    }
    return Launch(command=[sys.executable, "-m", "adapters"], environment=_OUR_CODE | settings)


def nginx(place: Place) -> Launch:
    """nginx as one puts it before a server of events: kept connections, no buffering, no access log."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        raise NotInstalled("apt-get install nginx-light")
    configuration = place.folder / "nginx.conf"
    configuration.write_text(
        f"""
        daemon off; worker_processes 1; worker_rlimit_nofile 8192;
        pid {place.folder}/nginx.pid; error_log {place.folder}/nginx.err;
        events {{ worker_connections 8192; }}
        http {{
            access_log off; keepalive_requests 100000000;
            client_body_temp_path {place.folder}/body; proxy_temp_path {place.folder}/proxy;
            upstream engine {{
                server 127.0.0.1:{place.engine_port}; keepalive 1024; keepalive_requests 100000000;
            }}
            server {{
                listen 127.0.0.1:{place.port} backlog=4096;
                location / {{
                    proxy_pass http://engine; proxy_http_version 1.1;
                    proxy_set_header Connection ""; proxy_buffering off;
                }}
            }}
        }}
        """
    )
    return Launch(command=[program, "-c", configuration, "-e", place.folder / "nginx.err"])


def vllm_router(place: Place) -> Launch:
    """vLLM's own router, in Rust."""
    options = (
        f"--host 127.0.0.1 --port {place.port} --worker-urls {place.engine_url} --policy round_robin"
        " --max-concurrent-requests 2048 --queue-size 2048 --log-level warning"
    )
    return Launch(command=[_program("vllm-router"), *options.split()])


def naive(place: Place) -> Launch:
    """A FastAPI route over the openai SDK, with the libraries of our own environment."""
    return Launch(command=[sys.executable, "-m", "benchmarks.naive_relay", str(place.port), place.engine_url])


def litellm(place: Place) -> Launch:
    """LiteLLM's proxy, with a key and without a database or any logging."""
    key = f"sk-{secrets.token_urlsafe(24)}"
    configuration = place.folder / "litellm.yaml"
    configuration.write_text(
        f"""
model_list:
  - model_name: null-model
    litellm_params: {{model: openai/null-model, api_base: "{place.engine_url}/v1", api_key: none}}
litellm_settings: {{telemetry: false, num_retries: 0}}
general_settings: {{master_key: "{key}"}}
"""
    )
    quiet = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    options = f"--config {configuration} --host 127.0.0.1 --port {place.port}"
    return Launch(command=[_program("litellm"), *options.split()], environment=quiet, api_key=key)


RELAYS: Mapping[str, Callable[[Place], Launch]] = {
    "ours": ours,
    "nginx": nginx,
    "vllm-router": vllm_router,
    "naive": naive,
    "litellm": litellm,
}


def install() -> None:
    """Make the environments that are not there yet."""
    for name, package in _PINNED.items():
        environment = _ENVIRONMENTS / name
        print(f"{package} into {environment}", flush=True)
        venv.create(environment, with_pip=True)
        subprocess.run([environment / "bin" / "python", "-m", "pip", "install", "-q", package], check=True)


def _program(name: str) -> Path:
    program = _ENVIRONMENTS / name / "bin" / name
    if not program.exists():
        raise NotInstalled("python -m benchmarks.peers install")
    return program


if __name__ == "__main__":
    if sys.argv[1:] != ["install"]:
        raise SystemExit(__doc__)
    install()
