"""The gateway's commands. What is heavy is imported by the command that needs it, so that `--help` is quick."""
# ruff: noqa: PLC0415

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from adapters.backup.commands import backup, restore
from adapters.keys.commands import app as keys
from adapters.observability.console import plain_errors

if TYPE_CHECKING:
    from adapters.conversations.erasing import Spooled
    from adapters.conversations.exchange import Exchange
    from adapters.conversations.export import Wanted
    from adapters.conversations.partitions import Partition
    from adapters.conversations.repository import ExchangeRepository
    from adapters.observability.second_listener import SecondListener

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="The gateway."
)
log = typer.Typer(no_args_is_help=True, help="Read the conversation log.")
app.add_typer(log, name="log")
app.add_typer(keys, name="keys")
app.command()(backup)
app.command()(restore)

_PAGE = 100
_TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]
Caller = Annotated[str, typer.Option(help="Whose: the name of a tenant.")]
AsJson = Annotated[bool, typer.Option("--json", help="One exchange a line, as JSON.")]


@app.command()
def gateway(
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Need no keys, even where other machines reach the gateway.")
    ] = False,
) -> None:
    """Run the gateway alone. It needs DATABASE_URL, and ENGINE_URL to answer anything."""
    import os

    from adapters import server

    if insecure:
        os.environ["ZEPHYR_REQUIRE_KEYS"] = "false"
    server.run()


@app.command()
def migrate(
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the database.")] = 60.0,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="REVISION", help="Bring it to this revision instead, also down, for an older version."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before going down.")] = False,
) -> None:
    """Bring the database to the schema that this version expects, with room for the months to come."""
    from adapters.conversations.partitions import make_ahead
    from adapters.conversations.upkeep import opened
    from adapters.database.migrate import CannotMigrate, migrate, way_down
    from adapters.database.running import log_settings
    from adapters.database.session import AWAY

    async def prepare() -> None:
        settings = log_settings()
        await migrate(settings, patience=wait)
        try:
            async with opened(settings) as (connection, now):
                await make_ahead(connection, now)
        except AWAY as error:
            raise CannotMigrate(
                f"no room was made for the months to come ({type(error).__name__}); try again"
            ) from None

    with plain_errors(CannotMigrate):
        if to is None:
            asyncio.run(prepare())
            typer.echo("The database is up to date.")
            return
        losses = asyncio.run(way_down(log_settings(), to, patience=wait))
        for loss in losses:
            typer.echo(loss, err=True)
        if losses and not yes:
            typer.confirm("Go down all the same? What is lost then only a backup has.", abort=True)
        asyncio.run(migrate(log_settings(), revision=to, patience=wait))
        typer.echo(f"The database is at {to}.")


@app.command()
def top(
    once: Annotated[
        bool,
        typer.Option(
            "--once", help="Look twice, a second apart, show what was seen and end; so it does in a pipe."
        ),
    ] = False,
) -> None:
    """Watch the gateway of this machine: queue, tenants, tokens, engine, GPUs and log, until Ctrl-C."""
    from rich.console import Console

    from adapters.observability.second_listener import NoGateway
    from adapters.top import watching

    with plain_errors(NoGateway):
        console = Console(highlight=False)
        show = watching.show if console.is_terminal and not once else watching.show_once
        show(_second_listener(), console)


@app.command()
def check(
    fast: Annotated[bool, typer.Option("--quick", help="Ask nobody: no database.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Look for what would keep the gateway from starting or working, and start nothing. `zephyr doctor` looks at all."""
    import json
    from dataclasses import asdict

    from adapters.check import everything, quick

    async def look() -> list[dict[str, str]]:
        return (
            [asdict(finding) for finding in quick()] if fast else [asdict(one) async for one in everything()]
        )

    with plain_errors():
        findings = asyncio.run(look())
        for finding in findings if not as_json else ():
            typer.echo("{verdict:<4} {subject:<12} {text}".format(**finding))
        if as_json:
            typer.echo(json.dumps(findings))
        if any(finding["verdict"] == "fail" for finding in findings):
            raise typer.Exit(1)


class Form(StrEnum):
    """What can be made of the log for training."""

    MESSAGES = "messages"
    PREFERENCES = "preferences"


@app.command()
def export(
    form: Annotated[Form, typer.Argument(help="Conversations, or pairs of answers of which one was better.")],
    caller: Caller = "local",
    since: Annotated[datetime | None, typer.Option(formats=_TIMES, help="Not before then, in UTC.")] = None,
    until: Annotated[datetime | None, typer.Option(formats=_TIMES, help="Before then, in UTC.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Only answers of this model, by the name that they have.")
    ] = None,
    rating: Annotated[
        int | None, typer.Option(min=-1, max=1, help="Only conversations up to an answer that was rated so.")
    ] = None,
) -> None:
    """Write the log as JSON lines for training: {"messages"}, or {"prompt", "chosen", "rejected"}."""
    from adapters.conversations.export import Wanted

    if rating is not None and form is Form.PREFERENCES:
        raise typer.BadParameter("preferences are made of all ratings", param_hint="--rating")
    since, until = (moment and moment.replace(tzinfo=UTC) for moment in (since, until))
    wanted = Wanted(caller=caller, since=since, until=until, model=model, rating=rating)
    with plain_errors():
        skipped = asyncio.run(_export(form, wanted))
        if skipped:
            typer.echo(f"Left out, because they are no plain messages or too long: {skipped}.", err=True)


async def _export(form: Form, wanted: "Wanted") -> int:
    from adapters.conversations.export import Export

    async with _repository() as repository:
        export = Export(repository)
        lines = export.conversations if form is Form.MESSAGES else export.preferences
        async for line in lines(wanted):
            sys.stdout.buffer.write(line)
        return export.skipped


@log.command(name="list")
def list_exchanges(
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Most exchanges to list.")] = 20,
    conversation: Annotated[UUID | None, typer.Option(help="Only this conversation.")] = None,
    caller: Caller = "local",
    as_json: AsJson = False,
) -> None:
    """List exchanges, newest first."""
    from rich.console import Console

    from adapters.conversations import terminal

    with plain_errors():
        exchanges = asyncio.run(_newest(caller, limit, conversation))
        if as_json:
            _print_lines(exchanges)
        else:
            terminal.print_list(Console(), exchanges)


@log.command(name="show")
def show_exchange(
    exchange: Annotated[str, typer.Argument(metavar="ID", help="Its id; `chatcmpl-…` is taken as well.")],
    caller: Caller = "local",
    as_json: AsJson = False,
) -> None:
    """Show one exchange."""
    from rich.console import Console

    from adapters.conversations import terminal

    with plain_errors():
        found = asyncio.run(_one(caller, exchange))
        if as_json:
            _print_lines([found])
        else:
            terminal.print_exchange(Console(), found)


@log.command(name="status")
def show_status(
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Say where every exchange is that the running gateway was given: in PostgreSQL, in the spool, nowhere."""
    import json

    from rich.console import Console

    from adapters.conversations import terminal
    from adapters.observability.second_listener import NoGateway

    with plain_errors(NoGateway):
        status = _second_listener().facts("/log/status")
        if as_json:
            typer.echo(json.dumps(status))
        else:
            terminal.print_status(Console(), status)


@log.command(name="retain")
def retain(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
) -> None:
    """Drop the months that are kept no longer (ZEPHYR_LOG_RETENTION_DAYS); a running gateway does so by itself."""
    from rich.console import Console

    from adapters.conversations import terminal

    with plain_errors():
        dropped = asyncio.run(_retain(dry_run))
        if dropped is None:
            typer.echo("Everything is kept: ZEPHYR_LOG_RETENTION_DAYS is not set.")
        else:
            terminal.print_dropped(Console(), dropped, would=dry_run)


async def _retain(dry_run: bool) -> "list[Partition] | None":
    from adapters.conversations.partitions import expired
    from adapters.conversations.upkeep import drop_expired, keeps_since, opened
    from adapters.database.running import log_settings

    settings = log_settings()
    async with _reaching(), opened(settings) as (connection, now):
        before = keeps_since(settings, now)
        if before is None:
            return None
        return await (expired if dry_run else drop_expired)(connection, before)


@log.command(name="erase")
def erase(
    caller: Annotated[str, typer.Option(help="Whose exchanges.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase everything that a caller has said, and every answer to it, for good."""
    with plain_errors():
        if not yes:
            typer.confirm(f"Erase everything that {caller!r} has said? It cannot be taken back.", abort=True)
        erased, spooled = asyncio.run(_erase(caller))
        typer.echo(f"Erased: {erased} exchanges in PostgreSQL, {spooled.erased} in the spool.")
        held = [] if len(spooled.held) == 1 and _nothing_is_spooled() else spooled.held
        for path in held:
            typer.echo(
                f"{path} is held by a running gateway. Erase again when `zephyr log status` shows nothing spooled.",
                err=True,
            )
        for path in spooled.unreadable:
            typer.echo(f"{path} is damaged: it may hold what nobody can read whole. Remove it.", err=True)
        if held or spooled.unreadable:
            raise typer.Exit(3)


def _nothing_is_spooled() -> bool:
    """Whether the gateway of this machine says so."""
    from adapters.observability.second_listener import NoGateway

    try:
        return _second_listener().facts("/log/status").get("spooled") == 0
    except NoGateway:
        return False


async def _erase(caller: str) -> "tuple[int, Spooled]":
    from adapters.conversations.erasing import erase_spooled, erase_stored
    from adapters.conversations.upkeep import opened
    from adapters.database.running import log_settings

    settings = log_settings()
    spooled = erase_spooled(settings, caller)  # first, lest a gateway ships them meanwhile
    async with _reaching(), opened(settings) as (connection, _):
        return await erase_stored(connection, caller), spooled


@asynccontextmanager
async def _reaching() -> AsyncIterator[None]:
    """What asyncpg raises, as a sentence."""
    from adapters.conversations.errors import LogUnavailable
    from adapters.database.session import AWAY

    try:
        yield
    except AWAY as error:
        raise LogUnavailable(f"The conversation log cannot be used now ({type(error).__name__}).") from None


def _second_listener() -> "SecondListener":
    from adapters.observability.second_listener import SecondListener
    from adapters.settings import Settings

    return SecondListener(Settings.read().admin_server)


async def _newest(caller: str, limit: int, conversation: UUID | None) -> "list[Exchange]":
    from adapters.conversations.repository import Filters

    filters = Filters(conversation_id=conversation)
    found: list[Exchange] = []
    async with _repository() as repository:
        while len(found) < limit:
            after = found[-1].id if found else None
            page = await repository.page(
                caller, filters=filters, limit=min(_PAGE, limit - len(found)), after=after
            )
            found += page.exchanges
            if not page.has_more:
                break
    return found


async def _one(caller: str, text: str) -> "Exchange":
    from adapters.conversations.schemas import without_prefix

    try:
        exchange_id = UUID(without_prefix(text))
    except ValueError:
        raise typer.BadParameter("this is not the id of an exchange") from None
    async with _repository() as repository:
        return await repository.get(caller, exchange_id)


@asynccontextmanager
async def _repository() -> "AsyncIterator[ExchangeRepository]":
    from adapters.conversations.repository import ExchangeRepository
    from adapters.database.running import log_settings
    from adapters.database.session import create_engine

    settings = log_settings()
    engine = create_engine(settings)
    try:
        yield ExchangeRepository(engine, settings.log_page_bytes)
    finally:
        await engine.dispose()


def _print_lines(exchanges: "list[Exchange]") -> None:
    from adapters.conversations.schemas import exchange_json

    for exchange in exchanges:
        sys.stdout.buffer.write(exchange_json(exchange) + b"\n")
