"""Where the gateway listens, and what it takes from a client."""

import re
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from adapters.settings.group import Group, is_loopback


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
        description="Seconds in which a client must take what waits for it, some tens of KiB, before it is cut off.",
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

    admin_host: str = Field(
        "127.0.0.1", description="Address on which keys are managed and figures are read; better no other."
    )
    admin_port: int = Field(8002, ge=0, le=65535, description="Port for the same; 0 takes a free one.")

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

    @property
    def local(self) -> bool:
        """Whether it listens to this machine alone."""
        return is_loopback(self.host)

    def hosts_to_check(self) -> frozenset[str] | None:
        """The names by which clients may call; None where any will do."""
        if "allowed_hosts" not in self.model_fields_set and not self.local:
            return None
        own = f"[{self.host}]" if ":" in self.host else self.host
        always: tuple[str, ...] = type(self).model_fields["allowed_hosts"].default
        return frozenset((*always, own.lower(), *self.allowed_hosts))
