"""What those who call may do, and how much of it."""

import re

from pydantic import Field, SecretStr, field_validator

from adapters.settings.group import Group


class AccessSettings(Group):
    """How much one gateway process takes on at once."""

    max_open_generations: int = Field(
        1024,
        ge=1,
        description="Generations open at once in one gateway process, waiting and at the engine, before more are "
        "refused.",
    )
    max_waiting_of_tenant: int = Field(
        512, ge=1, description="Generations of one tenant that wait at once before more of them are refused."
    )
    engine_concurrency: int = Field(
        256,
        ge=1,
        description="Generations that one gateway process has at the engine at once; the others wait in the gateway, "
        "where it decides who is next. `zephyr up` sets it to what it lets the engine run.",
    )
    engine_spare: int = Field(
        32,
        ge=0,
        description="Places beyond these for tenants that have nothing at the engine, so that they need not wait for "
        "somebody else's answer to end.",
    )
    longest_wait: float = Field(
        300.0, gt=0, description="Seconds a generation may wait for its turn before it is refused."
    )
    place_told_after: float = Field(
        1.0,
        gt=0,
        description="Seconds after which a client of a stream that waits is told its place, and again when it changes.",
    )


class KeySettings(Group):
    """Keys: who may call."""

    require_keys: bool | None = Field(
        None,
        description="Whether requests need a key. Without it: unless the gateway listens to this machine alone. "
        "`false` is what `--insecure` sets.",
    )
    keys_seconds: float = Field(
        5.0,
        gt=0,
        le=3600,
        description="Seconds after which PostgreSQL is asked again about a key, known or unknown. Changes are told at "
        "once; this is how long a revoked key can be used where that fails.",
    )
    keys_away_seconds: float = Field(
        86400.0,
        gt=0,
        le=3e7,
        description="Seconds that a key which was used before goes on working while PostgreSQL is away.",
    )
    keys_cached: int = Field(
        10_000,
        ge=1024,
        description="Most keys that one gateway process knows without asking, and as many that are none.",
    )


class LimitSettings(Group):
    """Limits of keys and tenants."""

    limits_url: SecretStr | None = Field(
        None,
        description="Redis or Valkey in which limits are counted, redis://host, rediss://host or unix:///its.sock; "
        "without it they are counted in PostgreSQL.",
    )
    limits_patience: float = Field(
        0.5,
        gt=0,
        le=10,
        description="Seconds a request waits to have its limits counted over all gateways, before this gateway judges by "
        "what it knows itself.",
    )
    limits_lease: float = Field(
        15.0,
        ge=1,
        description="Seconds after which the places of concurrent requests are free again whose gateway was killed.",
    )
    limits_answer_tokens: int = Field(
        512,
        ge=0,
        le=10_000_000,
        description="Tokens reserved for an answer to a limited caller whose request does not say how long it may get.",
    )

    @field_validator("limits_url")
    @classmethod
    def _store(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not re.match(r"(rediss?://[^/\s]+|unix:///)", url.get_secret_value()):
            raise ValueError("give redis://, rediss:// or unix:// with an address")
        return url


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
