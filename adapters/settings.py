"""The gateway's settings: read from the environment once, frozen, every bad value refused by its variable's name."""

import os
import re
from dataclasses import dataclass, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class BadSettings(Exception):
    """The environment holds settings that cannot be used."""


class Group(BaseSettings):
    """One group of settings. A field `x` is read from `ZEPHYR_X` unless it names its variable itself."""

    model_config = SettingsConfigDict(
        env_prefix="ZEPHYR_",
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        env_ignore_empty=True,
        allow_inf_nan=False,
    )

    @classmethod
    def variable(cls, field: str) -> str:
        """The environment variable of a field."""
        alias = cls.model_fields[field].validation_alias
        return alias if isinstance(alias, str) else f"ZEPHYR_{field.upper()}"


class ServerSettings(Group):
    """Where the gateway listens and what it takes from a client."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        ("http://localhost", "http://localhost:8000", "http://localhost:8501"),
        description="Origins whose pages a browser lets read answers, separated by commas.",
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        ("localhost", "127.0.0.1", "[::1]"),
        description="Names by which clients may call, separated by commas; the default's and `ZEPHYR_HOST` always "
        "are. Not checked where the gateway listens to other machines and this is not given.",
    )
    max_body_bytes: int = Field(4 * 2**20, ge=1024, description="Largest request body taken, in bytes.")
    max_header_bytes: int = Field(32 * 2**10, ge=1024, description="Largest request head taken, in bytes.")
    max_connections: int = Field(
        4096, ge=1, description="Connections open at once before new ones are refused."
    )
    body_timeout: float = Field(
        30.0,
        gt=0,
        description="Seconds a client may take to send a request's head, and again to send its body.",
    )
    send_timeout: float = Field(
        60.0,
        gt=0,
        description="Seconds in which a client must take what waits for it, some 64 KiB, before it is cut off.",
    )
    send_buffer_bytes: int = Field(
        64 * 2**10,
        ge=4096,
        description="Bytes that the system keeps for one client that does not read, in its own count; an answer that is "
        "longer waits, and holds the engine back.",
    )
    drain_seconds: float = Field(
        5.0, ge=0, description="Seconds that running answers get to finish when the gateway is told to stop."
    )

    @field_validator("allowed_origins", "allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return (
            tuple(part.strip() for part in value.split(",") if part.strip())
            if isinstance(value, str)
            else value
        )

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        if "*" in origins:
            raise ValueError("name the origins: * would let any page use the gateway")
        return tuple(origin.rstrip("/") for origin in origins)

    @field_validator("allowed_hosts")
    @classmethod
    def _names(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r"[\w.-]+|\[[0-9a-fA-F:.]+\]", host) for host in hosts):
            raise ValueError("give names or addresses, without scheme and port")
        return tuple(host.lower() for host in hosts)

    def hosts_to_check(self) -> frozenset[str] | None:
        """The names by which clients may call; None where any will do."""
        if "allowed_hosts" not in self.model_fields_set and not _is_loopback(self.host):
            return None
        own = f"[{self.host}]" if ":" in self.host else self.host
        always: tuple[str, ...] = type(self).model_fields["allowed_hosts"].default
        return frozenset((*always, own.lower(), *self.allowed_hosts))


class EngineSettings(Group):
    """How the gateway reaches the engine."""

    engine_url: str = Field(
        "http://127.0.0.1:8001",
        validation_alias="ENGINE_URL",
        pattern=r"^(http://[^/\s?#]+/?|unix:/[^\s]+)$",
        description="The engine's OpenAI server: http://host:port, or unix:/path/of/its.sock.",
    )
    engine_model_alias: str = Field(
        "zephyr-7b-beta", min_length=1, description="A name accepted for whatever model the engine serves."
    )
    engine_connect_timeout: float = Field(
        5.0, gt=0, description="Seconds to wait for a connection to the engine."
    )
    engine_first_byte_timeout: float = Field(
        600.0,
        gt=0,
        description="Seconds to wait for the first byte of an answer, the engine's queue included.",
    )
    engine_idle_timeout: float = Field(
        60.0, gt=0, description="Seconds an answer may pause before it counts as dead."
    )
    engine_keep_alive: float = Field(
        4.0,
        ge=0,
        description="Seconds an unused connection to the engine is kept; less than the engine's own limit.",
    )
    engine_probe_seconds: float = Field(
        1.0, gt=0, description="Seconds between looks at whether the engine is up."
    )
    engine_quiet_seconds: float = Field(
        10.0,
        gt=0,
        description="Seconds without a sign of work after which the engine is asked for one: by its metrics, then by a "
        "question of one token.",
    )
    engine_hang_seconds: float = Field(
        25.0,
        gt=0,
        description="Seconds without a sign of work after which the engine counts as hung and gets no new requests; more "
        "than its longest step takes.",
    )
    max_answer_bytes: int = Field(
        64 * 2**20,
        ge=2**16,
        description="Largest answer taken from the engine, as sent on the wire, in bytes.",
    )

    @field_validator("engine_hang_seconds")
    @classmethod
    def _asked_before(cls, seconds: float, others: ValidationInfo) -> float:
        if seconds <= others.data.get("engine_quiet_seconds", 0.0):
            raise ValueError("give more than ZEPHYR_ENGINE_QUIET_SECONDS: the engine must be asked before")
        return seconds

    @field_validator("engine_url")
    @classmethod
    def _address(cls, url: str) -> str:
        if not url.startswith("unix:") and not _is_address(url):
            raise ValueError("give http://host:port, without user and password")
        return url


class AccessSettings(Group):
    """How much one gateway process takes on at once."""

    max_open_generations: int = Field(
        1024, ge=1, description="Generations open at once in one gateway process before more are refused."
    )


class IdempotencySettings(Group):
    """Requests that are sent again with the same `Idempotency-Key`."""

    idempotency_grace: float = Field(
        10.0,
        ge=0,
        description="Seconds that an answer is made on for after its last client left, in case one comes back.",
    )
    idempotency_kept: float = Field(
        86400.0, gt=0, le=3e7, description="Seconds that a finished answer is kept for whoever asks again."
    )
    idempotency_lease: float = Field(
        10.0,
        ge=1,
        description="Seconds after which another gateway may make the answer of one that was killed; renewed three "
        "times as often.",
    )


class RequestSettings(Group):
    """Bounds on what one request may ask for, beyond those the API itself has."""

    max_messages: int = Field(1024, ge=1, description="Most messages in one request.")
    max_choices: int = Field(4, ge=1, le=128, description="Most choices (n) in one request.")
    max_tools: int = Field(128, ge=1, description="Most tools in one request.")
    max_schema_bytes: int = Field(
        64 * 2**10,
        ge=1024,
        description="Largest response_format, and largest list of tools, in bytes of JSON.",
    )


def home() -> Path:
    """The folder in which what outlives a process is kept, unless a setting names another."""
    default = "/var/lib/zephyr" if hasattr(os, "geteuid") and os.geteuid() == 0 else "~/.local/share/zephyr"
    return Path(os.environ.get("ZEPHYR_HOME") or default).expanduser()


class LogSettings(Group):
    """The conversation log."""

    database_url: SecretStr = Field(
        SecretStr("postgresql://localhost/zephyr"),
        validation_alias="DATABASE_URL",
        description="PostgreSQL: postgresql://user:password@host/name (a socket folder as ?host=/folder).",
    )
    database_pool_size: int = Field(
        8, ge=2, le=200, description="Most connections one gateway process opens."
    )
    database_connect_timeout: float = Field(
        5.0, gt=0, description="Seconds to wait for a database connection."
    )
    database_query_timeout: float = Field(
        5.0, gt=0, description="Seconds one statement may take before its connection is given up."
    )
    log_queue_limit: int = Field(
        4096, ge=1, description="Exchanges waiting to be written before more are refused."
    )
    log_batch_limit: int = Field(256, ge=1, description="Most exchanges in one commit.")
    log_mode: Literal["strict", "best_effort"] = Field(
        "strict",
        description="`strict`: nothing is generated, and no answer ends well, without a durable record. "
        "`best_effort`: answers go on, and what is lost is counted.",
    )
    log_patience: float = Field(
        1.0,
        gt=0,
        description="Seconds an exchange waits for PostgreSQL before it is kept in the spool instead.",
    )
    log_commit_deadline: float = Field(
        10.0,
        gt=0,
        description="Seconds in which an exchange must be durable, in PostgreSQL or in the spool, before its client "
        "is told it failed.",
    )
    spool_dir: Path = Field(
        default_factory=lambda: home() / "spool",
        description="Folder on this machine's disk where exchanges wait while PostgreSQL is away; gateways of one "
        "machine may share it.",
    )
    spool_max_bytes: int = Field(
        2**30, ge=2**20, description="Largest spool of one gateway process, in bytes."
    )
    log_page_bytes: int = Field(
        8 * 2**20,
        ge=1024,
        description="Most bytes of text on one page of the log, or in a conversation that is continued.",
    )


class ResponseSettings(Group):
    """Responses that are made in the background or in a conversation."""

    max_background_responses: int = Field(
        64, ge=1, description="Background responses one gateway process makes at once."
    )
    response_lease: float = Field(
        30.0,
        ge=1,
        description="Seconds after which an open response whose gateway is gone counts as failed, and its conversation "
        "is free again.",
    )


class CodeSettings(Group):
    """Formatting of the code that clients send to be documented."""

    black_timeout: float = Field(5.0, gt=0, description="Seconds black may take for one piece of code.")
    black_max_bytes: int = Field(
        64 * 2**10, ge=1, description="Largest piece of code that is given to black, in bytes."
    )
    max_lines: int = Field(256, ge=1, description="Most requests in one JSONL body.")
    lines_at_once: int = Field(16, ge=1, description="Requests of one JSONL body that run at the same time.")


class ZephyrSettings(Group):
    """The /zephyr endpoints."""

    endpoints_dir: Path | None = Field(
        None, description="Folder with endpoint files (*.toml) beside the ones that are shipped."
    )


class GpuSettings(Group):
    """The live statistics."""

    gpu_interval: float = Field(
        1.0, ge=0.1, le=60, description="Seconds between two messages of the statistics websocket."
    )
    gpu_max_sockets: int = Field(256, ge=1, description="Statistics websockets open at once.")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of one gateway process."""

    server: ServerSettings
    engine: EngineSettings
    access: AccessSettings
    idempotency: IdempotencySettings
    request: RequestSettings
    log: LogSettings
    responses: ResponseSettings
    code: CodeSettings
    zephyr: ZephyrSettings
    gpu: GpuSettings

    @classmethod
    def read(cls) -> Self:
        """Read the environment.

        Raises:
            BadSettings: naming each variable that cannot be used, never its value.
        """
        groups: dict[str, Group] = {}
        problems: list[str] = []
        for field in fields(cls):
            group: type[Group] = field.type  # type: ignore[assignment]  # a class: annotations are not strings here
            try:
                groups[field.name] = group()
            except ValidationError as error:
                problems += [_problem(group, str(part["loc"][0]), part["msg"]) for part in error.errors()]
        if problems:
            raise BadSettings("\n".join(problems))
        return cls(**groups)  # type: ignore[arg-type]


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.username is None and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none; its text would quote the URL
        return False


def _problem(group: type[Group], location: str, message: str) -> str:
    known = location in group.model_fields
    return f"{group.variable(location) if known else location}: {message}"
