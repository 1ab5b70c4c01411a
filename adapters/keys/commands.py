"""`zephyr keys`: keys, straight in the database. What is heavy is imported by the command that needs it."""
# ruff: noqa: PLC0415

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, TypeVar
from uuid import UUID

import typer

if TYPE_CHECKING:
    from pydantic import SecretStr

    from adapters.access.callers import Limits
    from adapters.keys.key import Key
    from adapters.keys.repository import KeyRepository

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke keys.")

_Result = TypeVar("_Result")
Id = Annotated[UUID, typer.Argument(metavar="ID", help="The key's id, as `list` shows it.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, one object a line.")]


def _limit(what: str, most: int) -> typer.models.OptionInfo:
    """`most` is what `adapters.access.callers.Limits` takes."""
    option: typer.models.OptionInfo = typer.Option(
        min=0, max=most, help=f"{what}; 0 sets no limit.", rich_help_panel="Limits"
    )
    return option


RequestsPerMinute = Annotated[int | None, _limit("Requests a minute", 10**8)]
TokensPerMinute = Annotated[int | None, _limit("Tokens a minute, of prompts and answers", 10**8)]
ConcurrentRequests = Annotated[int | None, _limit("Requests at once", 10**4)]
TokensPerDay = Annotated[int | None, _limit("Tokens a day", 2**53)]
TokensPerMonth = Annotated[int | None, _limit("Tokens a month", 2**53)]


@app.command()
def create(
    tenant: Annotated[str, typer.Argument(help="Who owns the key, and what is said with it.")],
    name: Annotated[str | None, typer.Option(help="What the key is called. Default: as its tenant.")] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="What it may do: generate, read, read_all, feedback, admin; repeat for more. "
            "Default: generate, read, feedback."
        ),
    ] = None,
    days: Annotated[
        int | None, typer.Option(min=0, max=36_500, help="Days until it expires. Default: never.")
    ] = None,
    requests_per_minute: RequestsPerMinute = None,
    tokens_per_minute: TokensPerMinute = None,
    concurrent_requests: ConcurrentRequests = None,
    tokens_per_day: TokensPerDay = None,
    tokens_per_month: TokensPerMonth = None,
    as_json: AsJson = False,
) -> None:
    """Make a key, and show it: this once, since only its hash is kept."""
    from adapters.access.callers import KeyScope, Limits
    from adapters.keys.key import Order, is_name

    if not all(is_name(text) for text in (tenant, name or tenant)):
        raise typer.BadParameter("names are letters, digits and . _ @ -, up to 64")
    try:
        scopes = tuple(map(KeyScope, scope)) if scope else Order(tenant=tenant).scopes
    except ValueError:
        raise typer.BadParameter(f"scopes are {', '.join(KeyScope)}", param_hint="--scope") from None
    order = Order(
        tenant=tenant,
        name=name,
        scopes=scopes,
        expires_at=None if days is None else datetime.now(UTC) + timedelta(days=days),
        limits=_changed(
            Limits(),
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            concurrent_requests=concurrent_requests,
            tokens_per_day=tokens_per_day,
            tokens_per_month=tokens_per_month,
        ),
    )
    _show_secret(*_with_keys(lambda keys: keys.create(order)), as_json)


@app.command(name="list")
def list_keys(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most keys to list.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List keys, newest first."""
    from rich.console import Console

    from adapters.keys import terminal

    keys = _with_keys(lambda repository: repository.page(tenant=tenant, limit=limit))
    if as_json:
        for key in keys:
            _print_json(key)
    else:
        terminal.print_keys(Console(), keys)


@app.command()
def show(id: Id, as_json: AsJson = False) -> None:
    """Show what is known of one key."""
    from rich.console import Console

    from adapters.keys import terminal

    async def found(keys: "KeyRepository") -> None:
        key = await keys.get(id)
        if as_json:
            _print_json(key)
        else:
            terminal.print_key(Console(), key, await keys.tenant(key.tenant))

    _with_keys(found)


@app.command()
def rotate(
    id: Id,
    grace: Annotated[
        int, typer.Option(min=0, max=30_000_000, help="Seconds that the old secret is taken as well.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Give a key another secret, and show it: this once."""
    _show_secret(*_with_keys(lambda keys: keys.rotate(id, timedelta(seconds=grace))), as_json)


@app.command()
def revoke(id: Id) -> None:
    """End a key for good. Gateways know within a second; answers that have begun go on."""
    key = _with_keys(lambda keys: keys.revoke(id))
    typer.echo(f"{key.name} of {key.tenant} is revoked.")


@app.command()
def tenant(
    name: Annotated[str, typer.Argument(help="The tenant.")],
    weight: Annotated[
        float | None, typer.Option(help="Its share where tenants compete; others have 1.")
    ] = None,
    requests_per_minute: RequestsPerMinute = None,
    tokens_per_minute: TokensPerMinute = None,
    concurrent_requests: ConcurrentRequests = None,
    tokens_per_day: TokensPerDay = None,
    tokens_per_month: TokensPerMonth = None,
    as_json: AsJson = False,
) -> None:
    """Show a tenant, after changing what is given: its weight, and the limits of all its keys together."""
    from rich.console import Console

    from adapters.keys import terminal
    from adapters.keys.key import Tenant, is_name

    if not is_name(name):
        raise typer.BadParameter("names are letters, digits and . _ @ -, up to 64")
    if weight is not None and not 0.01 <= weight <= 100:
        raise typer.BadParameter("a weight is from 0.01 to 100", param_hint="--weight")

    async def set_and_show(keys: "KeyRepository") -> None:
        before = await keys.tenant(name) or Tenant(name=name)
        after = Tenant(
            name=name,
            weight=before.weight if weight is None else weight,
            limits=_changed(
                before.limits,
                requests_per_minute=requests_per_minute,
                tokens_per_minute=tokens_per_minute,
                concurrent_requests=concurrent_requests,
                tokens_per_day=tokens_per_day,
                tokens_per_month=tokens_per_month,
            ),
        )
        if after != before:
            await keys.set_tenant(after)
        if as_json:
            _print_json(after)
        else:
            terminal.print_tenant(Console(), after)

    _with_keys(set_and_show)


def _changed(limits: "Limits", **changes: int | None) -> "Limits":
    """The same limits but for those that are given; 0 takes one away."""
    import msgspec

    given = {name: value or None for name, value in changes.items() if value is not None}
    return msgspec.structs.replace(limits, **given)


def _with_keys(work: "Callable[[KeyRepository], Awaitable[_Result]]") -> _Result:
    from adapters.database.running import log_settings
    from adapters.database.session import create_engine
    from adapters.keys.repository import KeyRepository
    from adapters.observability.console import plain_errors

    async def run() -> _Result:
        engine = create_engine(log_settings())
        try:
            return await work(KeyRepository(engine))
        finally:
            await engine.dispose()

    with plain_errors():
        return asyncio.run(run())
    raise AssertionError  # the errors have ended the program


def _show_secret(key: "Key", secret: "SecretStr", as_json: bool) -> None:
    if as_json:
        _print_json(key, key=secret.get_secret_value())
    else:
        typer.echo(secret.get_secret_value())
        typer.echo(f"Key {key.name} of {key.tenant}, id {key.id}. It is shown this once.", err=True)


def _print_json(facts: object, **more: object) -> None:
    import msgspec

    typer.echo(msgspec.json.encode(msgspec.to_builtins(facts) | more).decode())
