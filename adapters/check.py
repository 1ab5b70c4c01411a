"""What would keep a gateway from starting, or from working, found without starting one. Each finding names its variable."""
# ruff: noqa: PLC0415  # `zephyr up` waits for the quick part, which needs no database

import os
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from adapters.settings import BadSettings, Settings
from adapters.zephyr.endpoint import load

if TYPE_CHECKING:
    from adapters.database.session import Connection

Verdict = Literal["ok", "note", "fail"]
_PAGE = Path(__file__).parent / "web" / "chat" / "index.html"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at; `fail` means that a gateway would not start, or not work."""

    subject: str
    verdict: Verdict
    text: str


def quick() -> Iterator[Finding]:
    """What can be said without asking anybody."""
    try:
        settings = Settings.read()
    except BadSettings as error:
        yield from (_finding("settings", "fail", line) for line in str(error).splitlines())
        return
    yield _finding("settings", "ok", "every variable can be used")
    yield _ports(settings)
    yield _spool(settings.log.spool_dir)
    yield _endpoints(settings)


async def everything() -> AsyncIterator[Finding]:
    """The same, and what the database says."""
    found = list(quick())
    for finding in found:
        yield finding
    yield _page()
    if found[0].verdict == "ok":
        settings = Settings.read()
        async for finding in _database(settings):
            yield finding
        if settings.limits.limits_url is not None:
            yield await _limits(settings)


def _ports(settings: Settings) -> Finding:
    first, second = settings.server, settings.admin_server
    if second.port and second.port == first.port:
        return _finding(
            "admin port", "fail", f"ZEPHYR_ADMIN_PORT: {second.port} is ZEPHYR_PORT as well; give another"
        )
    family = socket.AF_INET6 if ":" in second.host else socket.AF_INET
    try:
        socket.create_server((second.host, second.port), family=family).close()
    except OSError as error:
        why = f"ZEPHYR_ADMIN_PORT: {second.port} on {second.host} cannot be used ({error.strerror})"
        return _finding("admin port", "fail", f"{why}; stop what listens there, or give another")
    return _finding("admin port", "ok", f"{second.host}:{second.port} is free")


def _spool(folder: Path) -> Finding:
    """Nothing is made that is not there yet."""
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    try:
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            raise PermissionError(None, "no folder that can be written to")
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        why = f"ZEPHYR_SPOOL_DIR: {folder} cannot be written to ({error.strerror})"
        return _finding("spool", "fail", f"{why}; give a folder on a disk of this machine")
    return _finding("spool", "ok", str(folder))


def _endpoints(settings: Settings) -> Finding:
    try:
        endpoints = load(settings.zephyr)
    except BadSettings as error:
        return _finding("endpoints", "fail", f"{error} (ZEPHYR_ENDPOINTS_DIR)")
    return _finding("endpoints", "ok", ", ".join(endpoint.path for endpoint in endpoints))


async def _limits(settings: Settings) -> Finding:
    from adapters.limits.store import StoreAway
    from adapters.limits.valkey import ValkeyCounts

    try:
        counts = ValkeyCounts.of(settings.limits)
    except BadSettings as error:
        return _finding("limits", "fail", str(error))
    try:
        await counts.ask()
    except StoreAway as error:
        why = f"ZEPHYR_LIMITS_URL: it does not answer ({error})"
        return _finding("limits", "note", f"{why}; until it does, each gateway counts for itself")
    finally:
        await counts.close()
    return _finding("limits", "ok", "counted in what ZEPHYR_LIMITS_URL names")


def _page() -> Finding:
    if _PAGE.is_file():
        return _finding("page", "ok", "the chat page is built")
    return _finding(
        "page", "note", "the chat page is not built: `python setup/page.py` does it; all else works"
    )


async def _database(settings: Settings) -> AsyncIterator[Finding]:
    from adapters.database.running import log_settings
    from adapters.database.session import AWAY, connect

    where = log_settings()
    try:
        connection = await connect(where)
    except BadSettings as error:
        yield _finding("schema", "fail", str(error))
        return
    except AWAY as error:
        given = "database_url" in settings.log.model_fields_set
        why = f"DATABASE_URL: it does not answer ({type(error).__name__})"
        text = why if given else "PostgreSQL does not run; `zephyr up` starts it"
        yield _finding("schema", "fail" if given else "note", text)
        if not settings.server.local and settings.keys_required:
            yield _finding(
                "keys", "note", "ZEPHYR_HOST: other machines reach it, so that it starts only with a key"
            )
        return
    try:
        yield await _schema(connection)
        yield await _keys(connection, settings)
    finally:
        await connection.close()


async def _schema(connection: "Connection") -> Finding:
    from adapters.database import schema

    found = await schema.look(connection)
    try:
        found.refuse_wrong()
    except schema.WrongSchema as error:
        return _finding("schema", "fail" if found.newer else "note", f"DATABASE_URL: {error}")
    return _finding("schema", "ok", found.revision)


async def _keys(connection: "Connection", settings: Settings) -> Finding:
    from adapters.database.session import AWAY
    from adapters.keys.repository import any_usable

    if settings.server.local or not settings.keys_required:
        return _finding("keys", "ok", "needed by nobody" if not settings.keys_required else "needed")
    try:
        usable = await any_usable(connection)
    except AWAY:
        usable = False
    if usable:
        return _finding("keys", "ok", "needed, and there is one")
    text = f"ZEPHYR_HOST: other machines reach {settings.server.host}, and there is no key: `zephyr keys create TENANT`"
    return _finding("keys", "fail", f"{text}, or --insecure")


def _finding(subject: str, verdict: Verdict, text: str) -> Finding:
    return Finding(subject=subject, verdict=verdict, text=text)
