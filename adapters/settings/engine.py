"""How the gateway reaches the engine."""

import re
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import NoDecode

from adapters.settings.group import Group, is_address

_URL = r"^(http://[^/\s?#]+/?|unix:/[^\s]+)$"


class EngineSettings(Group):
    """How the gateway reaches the engine."""

    engine_url: str = Field(
        "http://127.0.0.1:8001",
        validation_alias="ENGINE_URL",
        pattern=_URL,
        description="The engine's OpenAI server: http://host:port, or unix:/path/of/its.sock.",
    )
    engine_model_alias: str = Field(
        "zephyr-7b-beta", min_length=1, description="A name accepted for whatever model the engine serves."
    )
    engine_health_path: str = Field(
        "/health",
        pattern=r"^/[\w./-]*$",
        description="Where it says with a 200 that it is well. vllm-router's is `/readiness`: its `/health` asks for all "
        "engines behind it.",
    )
    engine_metrics_urls: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Where the engines behind a router tell their figures, separated by commas; each as `ENGINE_URL` is "
        "given. Without it the figures of several engines are not shown: a router gives those of one.",
    )
    engine_tries: int = Field(
        1,
        ge=1,
        le=5,
        description="How often a request is sent to the engine as long as it breaks off before anything of its answer "
        "was passed on. 2 in front of a router, where another engine may answer; a request that kills its engine then "
        "meets another one.",
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

    @field_validator("engine_metrics_urls", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value

    @field_validator("engine_url")
    @classmethod
    def _address(cls, url: str) -> str:
        return _checked(url)

    @field_validator("engine_metrics_urls")
    @classmethod
    def _addresses(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(_checked, urls))


def _checked(url: str) -> str:
    if re.fullmatch(_URL, url) is None or not (url.startswith("unix:") or is_address(url)):
        raise ValueError("give http://host:port or unix:/path, without user and password")
    return url
