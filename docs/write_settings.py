"""Writes `settings.md` from the settings themselves: `.venv/bin/python -m docs.write_settings`."""

from collections.abc import Iterator, Set
from dataclasses import fields
from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from adapters.settings import Group
from adapters.settings import Settings as GatewaySettings
from serving.settings import Settings as HostSettings

FILE = Path(__file__).parent / "settings.md"

_INTRODUCTION = """\
# Settings

Everything is set by environment variables, read once at the start. A value that cannot be used is refused at
once, by the name of its variable and never with its value. Of a variable that is nearly the name of a setting `zephyr`
says so, and goes on. This page is written from the settings themselves
(`.venv/bin/python -m docs.write_settings`), and a test fails where it differs from them.

One more is read before anything is installed: `ZEPHYR_ENGINE_BUILD` (`cpu` or `cuda`) says which build of vLLM
`./run.sh` installs. Without it, the hardware decides.
"""


def document() -> str:
    """The whole page."""
    return "\n".join([_INTRODUCTION, *_gateway(), *_host()])


def gateway_variables() -> set[str]:
    """The variables that the gateway reads."""
    return GatewaySettings.variables()


def host_variables() -> set[str]:
    """The variables that the host reads; what it starts gets the rest of its environment as it is."""
    return HostSettings.variables()


def _gateway() -> Iterator[str]:
    yield "## The gateway (`zephyr gateway`, `python -m adapters`)\n"
    for group in _groups():
        yield f"### {_title(group)}\n"
        files = {group.variable(name) for name in group.secrets()}
        yield from _table({group.variable(name): field for name, field in group.model_fields.items()}, files)


def _host() -> Iterator[str]:
    yield "## The host (`./run.sh`, `zephyr up`, `zephyr engine`, `zephyr db`, `zephyr doctor`)\n"
    yield "What the host starts inherits its environment, so that the gateway's settings can be given to it as well.\n"
    yield from _table(
        {HostSettings.variable(name): field for name, field in HostSettings.model_fields.items()}
    )


def _groups() -> list[type[Group]]:
    groups: list[type[Group]] = [field.type for field in fields(GatewaySettings)]  # type: ignore[misc]
    return groups


def _title(group: type[Group]) -> str:
    return (group.__doc__ or "").splitlines()[0].rstrip(".")


def _table(settings: dict[str, FieldInfo], files: Set[str] = frozenset()) -> Iterator[str]:
    yield "| variable | default | meaning |"
    yield "|---|---|---|"
    for variable, field in settings.items():
        meaning = (field.description or "").replace("|", "\\|")
        yield f"| `{variable}` | {_default(field)} | {meaning} |"
        if variable in files:
            yield f"| `{variable}_FILE` | none | A file that holds it, where `{variable}` is not given. |"
    yield ""


def _default(field: FieldInfo) -> str:
    value = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    if field.default_factory is not None or isinstance(value, Path):
        return "depends on the machine"
    if value is None or value == ():
        return "none"
    return f"`{','.join(value) if isinstance(value, tuple) else format(value)}`"


if __name__ == "__main__":
    FILE.write_text(document())
