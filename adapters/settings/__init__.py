"""The gateway's settings: read from the environment once, frozen, every bad value refused by its variable's name."""

from dataclasses import dataclass, fields
from typing import Self

from pydantic import ValidationError

from adapters.settings.callers import (
    AccessSettings,
    IdempotencySettings,
    KeySettings,
    LimitSettings,
    RequestSettings,
)
from adapters.settings.doors import CodeSettings, GpuSettings, ResponseSettings, ZephyrSettings
from adapters.settings.engine import EngineSettings
from adapters.settings.group import BadSettings, Group, problem
from adapters.settings.log import LogSettings, home
from adapters.settings.server import ServerSettings
from adapters.settings.traces import TraceSettings

__all__ = (
    "AccessSettings",
    "BadSettings",
    "CodeSettings",
    "EngineSettings",
    "GpuSettings",
    "Group",
    "IdempotencySettings",
    "KeySettings",
    "LimitSettings",
    "LogSettings",
    "RequestSettings",
    "ResponseSettings",
    "ServerSettings",
    "Settings",
    "TraceSettings",
    "ZephyrSettings",
    "home",
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of one gateway process."""

    server: ServerSettings
    engine: EngineSettings
    access: AccessSettings
    keys: KeySettings
    idempotency: IdempotencySettings
    limits: LimitSettings
    request: RequestSettings
    log: LogSettings
    responses: ResponseSettings
    code: CodeSettings
    zephyr: ZephyrSettings
    gpu: GpuSettings
    traces: TraceSettings

    @property
    def keys_required(self) -> bool:
        """Whether requests need a key."""
        required = self.keys.require_keys
        return not self.server.local if required is None else required

    @property
    def admin_server(self) -> ServerSettings:
        """The settings of the second listener. No page may call it."""
        server = self.server
        changes = {"host": server.admin_host, "port": server.admin_port, "allowed_origins": ()}
        return server.model_copy(update=changes)

    @classmethod
    def variables(cls) -> set[str]:
        """The environment variables that are read."""
        groups: list[type[Group]] = [field.type for field in fields(cls)]  # type: ignore[misc]  # as in `read`
        named = {group.variable(name) for group in groups for name in group.model_fields}
        return named | {variable for group in groups for variable in group.secrets().values()}

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
            except BadSettings as error:
                problems.append(str(error))
            except ValidationError as error:
                problems += [problem(group, str(part["loc"][0]), part["msg"]) for part in error.errors()]
        if problems:
            raise BadSettings("\n".join(problems))
        settings = cls(**groups)  # type: ignore[arg-type]
        if not settings.admin_server.local and not settings.keys_required:
            raise BadSettings(
                "ZEPHYR_ADMIN_HOST: where no keys are needed, this machine alone may manage them"
            )
        return settings
