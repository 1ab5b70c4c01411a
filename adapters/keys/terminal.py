"""Keys as a person reads them on a terminal."""

from collections.abc import Iterable
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from adapters.access.callers import Limits
from adapters.keys.key import Key, Tenant

_PIPE_COLUMNS = 300
_STYLES = {"valid": "green", "expired": "yellow", "revoked": "red"}


def print_keys(console: Console, keys: Iterable[Key]) -> None:
    """A line for each key."""
    table = Table(box=None, pad_edge=False)
    for name in ("id", "tenant", "name", "begins with", "state", "scopes"):
        table.add_column(name, no_wrap=name in ("id", "begins with", "state"), overflow="fold", min_width=8)
    for key in keys:
        table.add_row(
            str(key.id),
            key.tenant,
            key.name,
            key.prefix,
            Text(key.state, style=_STYLES[key.state]),
            " ".join(key.scopes),
        )
    # Whoever reads through a pipe wants a line for each key; the 80 columns assumed there are nobody's.
    wide = console if console.is_terminal else Console(file=console.file, width=_PIPE_COLUMNS)
    wide.print(table, crop=False)


def print_key(console: Console, key: Key, tenant: Tenant | None) -> None:
    """Everything that is known of one key."""
    facts = Table.grid(padding=(0, 2))
    facts.add_row("id", str(key.id))
    facts.add_row("tenant", key.tenant)
    facts.add_row("name", key.name)
    facts.add_row("begins with", key.prefix)
    facts.add_row("state", Text(key.state, style=_STYLES[key.state]))
    facts.add_row("scopes", " ".join(key.scopes))
    for name, at in (
        ("created", key.created_at),
        ("expires", key.expires_at),
        ("revoked", key.revoked_at),
        ("former secret until", key.former_until),
    ):
        if at is not None:
            facts.add_row(name, _moment(at))
    facts.add_row("limits", _limits(key.limits))
    if tenant is not None:
        facts.add_row("tenant's weight", f"{tenant.weight:g}")
        facts.add_row("tenant's limits", _limits(tenant.limits))
    console.print(facts)


def print_tenant(console: Console, tenant: Tenant) -> None:
    """What is known of a tenant."""
    facts = Table.grid(padding=(0, 2))
    facts.add_row("tenant", tenant.name)
    facts.add_row("weight", f"{tenant.weight:g}")
    facts.add_row("limits", _limits(tenant.limits))
    console.print(facts)


def _moment(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def _limits(limits: Limits) -> str:
    """One a line, or none."""
    lines = [
        f"{name.replace('_', ' ')}: {getattr(limits, name)}"
        for name in Limits.__struct_fields__
        if getattr(limits, name)
    ]
    return "\n".join(lines) or "none"
