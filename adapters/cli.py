"""The gateway's commands. What is heavy is imported by the command that needs it, so that `--help` is quick."""
# ruff: noqa: PLC0415

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from adapters.keys.commands import app as keys
from adapters.observability.console import plain_errors

if TYPE_CHECKING:
    from adapters.conversations.exchange import Exchange
    from adapters.conversations.repository import ExchangeRepository
app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="The gateway."
)
log = typer.Typer(no_args_is_help=True, help="Read the conversation log.")
app.add_typer(log, name="log")
app.add_typer(keys, name="keys")

_PAGE = 100
AsJson = Annotated[bool, typer.Option("--json", help="One exchange a line, as JSON.")]


@app.command()
def gateway() -> None:
    """Run the gateway alone. It needs DATABASE_URL, and ENGINE_URL to answer anything."""
    from adapters import server

    server.run()


@app.command()
def migrate(
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the database.")] = 60.0,
) -> None:
    """Bring the database to the schema that this version expects."""
    from adapters.database.migrate import CannotMigrate, migrate
    from adapters.database.running import log_settings

    with plain_errors(CannotMigrate):
        asyncio.run(migrate(log_settings(), patience=wait))
        typer.echo("The database is up to date.")


@log.command(name="list")
def list_exchanges(
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Most exchanges to list.")] = 20,
    conversation: Annotated[UUID | None, typer.Option(help="Only this conversation.")] = None,
    as_json: AsJson = False,
) -> None:
    """List exchanges, newest first."""
    from rich.console import Console

    from adapters.conversations import terminal

    with plain_errors():
        exchanges = asyncio.run(_newest(limit, conversation))
        if as_json:
            _print_lines(exchanges)
        else:
            terminal.print_list(Console(), exchanges)


@log.command(name="show")
def show_exchange(
    exchange: Annotated[str, typer.Argument(metavar="ID", help="Its id; `chatcmpl-…` is taken as well.")],
    as_json: AsJson = False,
) -> None:
    """Show one exchange."""
    from rich.console import Console

    from adapters.conversations import terminal

    with plain_errors():
        found = asyncio.run(_one(exchange))
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

    with plain_errors(NoGateway):
        status = _ask_gateway("/log/status")
        if as_json:
            typer.echo(json.dumps(status))
        else:
            terminal.print_status(Console(), status)


class NoGateway(Exception):
    """No gateway answers."""


def _ask_gateway(path: str) -> dict[str, object]:
    """What the gateway of this machine answers.

    Raises:
        NoGateway: there is none where the settings say that it listens.
    """
    import http.client
    import json

    from adapters.settings import Settings

    server = Settings.read().server
    host = "127.0.0.1" if server.host in ("0.0.0.0", "::") else server.host
    connection = http.client.HTTPConnection(host, server.port, timeout=5)
    try:
        connection.request("GET", path)
        with connection.getresponse() as response:
            answer: dict[str, object] = json.loads(response.read())
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise NoGateway(f"No gateway answers on {host}:{server.port} ({type(error).__name__}).") from None
    finally:
        connection.close()
    return answer


async def _newest(limit: int, conversation: UUID | None) -> "list[Exchange]":
    from adapters.access.callers import LOCAL
    from adapters.conversations.repository import Filters

    filters = Filters(conversation_id=conversation)
    found: list[Exchange] = []
    async with _repository() as repository:
        while len(found) < limit:
            after = found[-1].id if found else None
            page = await repository.page(
                LOCAL, filters=filters, limit=min(_PAGE, limit - len(found)), after=after
            )
            found += page.exchanges
            if not page.has_more:
                break
    return found


async def _one(text: str) -> "Exchange":
    from adapters.access.callers import LOCAL
    from adapters.conversations.schemas import without_prefix

    try:
        exchange_id = UUID(without_prefix(text))
    except ValueError:
        raise typer.BadParameter("this is not the id of an exchange") from None
    async with _repository() as repository:
        return await repository.get(LOCAL, exchange_id)


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
