"""Reading settings from the environment, and secrets from files that it names."""

import os
from ipaddress import ip_address
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

_LARGEST_SECRET_BYTES = 4096


class BadSettings(Exception):
    """The environment holds settings that cannot be used."""


class Group(BaseSettings):
    """One group of settings. A field `x` is read from `ZEPHYR_X` unless it names its variable itself.

    A secret may be in a file instead, which the variable with `_FILE` at its end names: container engines and
    Kubernetes hand secrets over so. A variable that holds the secret itself comes first.
    """

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

    @classmethod
    def secrets(cls) -> dict[str, str]:
        """The fields that may be in a file, with the variables that name it."""
        kinds = {name: field.annotation for name, field in cls.model_fields.items()}
        return {
            name: f"{cls.variable(name)}_FILE"
            for name, kind in kinds.items()
            if SecretStr in (kind, *get_args(kind))
        }

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given, what the environment holds, what the files hold that it names."""
        return init_settings, env_settings, _SecretFiles(cls)


class _SecretFiles(PydanticBaseSettingsSource):
    """The secrets that are in files."""

    def __init__(self, group: type[Group]) -> None:
        super().__init__(group)
        self._secrets = group.secrets()

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """One secret, if its file is named and its variable does not hold it."""
        variable = self._secrets.get(field_name, "")
        path = os.environ.get(variable)
        given = os.environ.get(variable.removesuffix("_FILE"))
        return secret_in(variable, Path(path)) if path and not given else None, field_name, False

    def __call__(self) -> dict[str, Any]:
        fields = self.settings_cls.model_fields
        found = {name: self.get_field_value(fields[name], name)[0] for name in self._secrets}
        return {name: value for name, value in found.items() if value is not None}


def secret_in(variable: str, path: Path) -> str:
    """What a file holds, without the line's end that editors leave.

    Raises:
        BadSettings: it cannot be read, or is not one line of text; by the variable's name, never with what it holds.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_SECRET_BYTES + 1).decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise BadSettings(f"{variable}: the file cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise BadSettings(f"{variable}: the file holds no text") from None
    if not text.strip() or not text.isprintable() or len(text) > _LARGEST_SECRET_BYTES:
        raise BadSettings(
            f"{variable}: the file must hold one line of text, of up to {_LARGEST_SECRET_BYTES} bytes"
        )
    return text


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
