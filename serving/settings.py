"""The host's settings: read from the environment once, frozen, every bad value refused by its variable's name."""

import os
import shlex
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from serving.errors import BadSettings

CHECKOUT = Path(__file__).resolve().parent.parent
LAST_PORT = 65535
SOCKET_PATH_LIMIT = 107  # bytes that Linux takes for a unix socket's path
LONGEST_SOCKET_NAME = "/postgres/.s.PGSQL.5432.lock"


def default_home() -> Path:
    """Where state is kept unless told otherwise: the system's place for root, the user's own for others."""
    if os.geteuid() == 0:
        return Path("/var/lib/zephyr")
    return Path.home() / ".local" / "share" / "zephyr"


class Settings(BaseSettings):
    """All settings of the host. A field `x` is read from `ZEPHYR_X` unless it names its variable itself."""

    model_config = SettingsConfigDict(
        env_prefix="ZEPHYR_", frozen=True, extra="ignore", populate_by_name=True, env_ignore_empty=True
    )

    home: Path = Field(
        default_factory=default_home,
        description="Folder of all state: database, models, logs, sockets. Default: /var/lib/zephyr for root, "
        "~/.local/share/zephyr for others.",
    )
    host: str = Field("127.0.0.1", min_length=1, description="Address that the gateway listens on.")
    port: int = Field(8000, ge=1, le=65535, description="Port that the gateway listens on.")
    database_url: SecretStr | None = Field(
        None,
        validation_alias="DATABASE_URL",
        description="A PostgreSQL to use; without it the embedded one is run.",
    )
    database_url_file: Path | None = Field(
        None,
        validation_alias="DATABASE_URL_FILE",
        description="A file that holds it, where `DATABASE_URL` is not given.",
    )
    engine_url: str | None = Field(
        None,
        validation_alias="ENGINE_URL",
        pattern=r"^(https?://[^\s]+|unix:/[^\s]+)$",
        description="An engine that already runs; without it one is run here.",
    )

    model: str | None = Field(
        None,
        min_length=1,
        description="Model to serve: a folder, or an id of the Hugging Face hub. Without it, what the hardware fits.",
    )
    model_revision: str | None = Field(
        None, min_length=1, description="Revision of a model from the hub. Ours are pinned by default."
    )
    engine_python: Path = Field(
        CHECKOUT / ".venv-engine" / "bin" / "python",
        description="Python of the environment that has vLLM. Default: that of `.venv-engine` in the checkout.",
    )
    engine_max_model_len: int | None = Field(
        None,
        ge=64,
        description="Longest prompt and answer together, in tokens. Without it, what suits the model.",
    )
    engine_kv_cache_gib: float | None = Field(
        None, gt=0, description="Memory for the KV cache in GiB. Without it, what suits the hardware."
    )
    engine_concurrency: int | None = Field(
        None,
        ge=1,
        description="Generations that the engine runs at once; more wait in the gateway. Without it, 256 on a GPU and 16 "
        "on a processor.",
    )
    engine_spare: int | None = Field(
        None,
        ge=0,
        description="Places beyond these, which the gateway gives to tenants that have nothing running. Without it, an "
        "eighth of them.",
    )
    engine_max_queued: int = Field(
        2048, ge=1, description="Requests that wait in the engine before it refuses more."
    )
    replicas: int = Field(
        1,
        ge=1,
        le=64,
        description="Engines that `zephyr up` runs; several share the machine, and stand behind vllm-router.",
    )
    router_python: Path = Field(
        CHECKOUT / ".venv-router" / "bin" / "python",
        description="Python of the environment that has vllm-router. Default: that of `.venv-router` in the checkout, "
        "which `zephyr up` makes where it needs one.",
    )
    engine_host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address of `ZEPHYR_ENGINE_PORT`. vLLM asks nobody who they are: let only the gateway and a router "
        "reach it.",
    )
    engine_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Port on which the engine is reached once it is checked, beside its socket; for a router or a gateway "
        "on another machine. Without it, none; of several engines each has the next one, without it one of this machine "
        "alone.",
    )
    engine_connections: int = Field(
        4096, ge=1, description="Connections to that port at once before more are closed."
    )
    engine_extra_args: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="More arguments for vLLM's server, as on a command line; they come last and win."
    )

    start_seconds: float = Field(
        60.0, gt=0, description="Seconds in which PostgreSQL or the gateway must be ready."
    )
    engine_start_seconds: float = Field(
        1800.0, gt=0, description="Seconds in which the engine must be ready."
    )
    engine_check_seconds: float = Field(
        180.0, gt=0, description="Seconds that one question of the check before readiness may take."
    )
    engine_silence_seconds: float = Field(
        60.0,
        gt=0,
        description="Seconds without a sign of work after which the engine is restarted; more than its longest step "
        "takes.",
    )
    start_tries: int = Field(3, ge=1, description="Starts in a row that may fail before a part is given up.")
    restart_seconds: float = Field(
        1.0, gt=0, description="Seconds before the first restart; each further one doubles."
    )
    restart_max_seconds: float = Field(30.0, gt=0, description="Longest pause before a restart, in seconds.")
    stop_seconds: float = Field(
        25.0,  # the gateway's longest stop: drain 5, leaving 3, commit deadline 10, connections 2
        gt=0,
        description="Seconds that each part gets to end before it is killed.",
    )
    engine_stop_seconds: float = Field(
        5.0,  # it has nothing to lose, and its server waits for connections of an engine core that is gone
        gt=0,
        description="Seconds that the engine gets to end before it is killed.",
    )
    engine_drain_seconds: float = Field(
        600.0,
        gt=0,
        description="Seconds that the answers of one of several engines get to end before it is restarted in its turn.",
    )
    traces_endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^/\s?#@]+/[^\s?#]+$",
        description="Where the engine sends its part of traces, as the gateway does; what is inherited serves both.",
    )
    log_format: Literal["text", "json"] = Field(
        "text",
        description="What the host writes on standard error: `text` for people, or `json`, an object a line, with the "
        "lines of all parts. The files in `logs` have such lines in any case.",
    )
    log_max_bytes: int = Field(
        16 * 2**20,
        ge=2**16,
        description="Size of a part's log file before a new one begins; one old one is kept.",
    )

    @field_validator("home")
    @classmethod
    def _absolute_and_short(cls, home: Path) -> Path:
        home = home.expanduser().absolute()
        longest = len(os.fsencode(home)) + len(LONGEST_SOCKET_NAME)
        if longest > SOCKET_PATH_LIMIT:
            limit = SOCKET_PATH_LIMIT - len(LONGEST_SOCKET_NAME)
            raise ValueError(f"too long for the sockets in it: at most {limit} bytes")
        return home

    @field_validator("replicas")
    @classmethod
    def _run_here(cls, replicas: int, others: ValidationInfo) -> int:
        if replicas > 1 and others.data.get("engine_url"):
            raise ValueError("no engine is run here, since ENGINE_URL names one")
        return replicas

    @field_validator("engine_port")
    @classmethod
    def _one_for_each(cls, port: int | None, others: ValidationInfo) -> int | None:
        if port is not None and port + others.data.get("replicas", 1) - 1 > LAST_PORT:
            raise ValueError(f"each engine has the next port, and the last is {LAST_PORT}")
        return port

    @field_validator("engine_python", "router_python")
    @classmethod
    def _absolute(cls, python: Path) -> Path:
        return python.expanduser().absolute()

    @field_validator("engine_extra_args", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(shlex.split(value)) if isinstance(value, str) else value

    @classmethod
    def variable(cls, field: str) -> str:
        """The environment variable of a field."""
        alias = cls.model_fields[field].validation_alias
        return alias if isinstance(alias, str) else f"ZEPHYR_{field.upper()}"

    @classmethod
    def variables(cls) -> set[str]:
        """The environment variables that the host reads."""
        return {cls.variable(name) for name in cls.model_fields}

    @classmethod
    def read(cls) -> Self:
        """Read the environment.

        Raises:
            BadSettings: naming each variable that cannot be used, never its value.
        """
        try:
            settings = cls()  # type: ignore[call-arg]  # they come from the environment
            if settings.database_url_file is None or settings.database_url is not None:
                return settings
            return settings.model_copy(update={"database_url": _secret_in(settings.database_url_file)})
        except ValidationError as error:
            problems = [(str(part["loc"][0]), part["msg"]) for part in error.errors()]
        lines = [f"{cls.variable(at) if at in cls.model_fields else at}: {text}" for at, text in problems]
        raise BadSettings("\n".join(lines))

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def models(self) -> Path:
        return self.home / "models"

    @property
    def run(self) -> Path:
        return self.home / "run"


def _secret_in(file: Path) -> SecretStr:
    """What the file of DATABASE_URL_FILE holds, without the line's end that editors leave."""
    try:
        text = file.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"DATABASE_URL_FILE: the file cannot be read ({type(error).__name__})") from None
    if not text.strip() or not text.isprintable():
        raise BadSettings("DATABASE_URL_FILE: the file must hold one line of text")
    return SecretStr(text)
