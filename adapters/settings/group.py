"""Reading settings from the environment."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from pydantic_settings import BaseSettings, SettingsConfigDict


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


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_address(url: str) -> bool:
    """Whether it names a host, and no user."""
    try:
        parts = urlsplit(url)
        return parts.username is None and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none; its text would quote the URL
        return False


def problem(group: type[Group], location: str, message: str) -> str:
    """What is wrong with a setting, by its variable's name."""
    known = location in group.model_fields
    return f"{group.variable(location) if known else location}: {message}"
