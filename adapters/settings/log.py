"""The conversation log."""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from adapters.settings.group import Group


def home() -> Path:
    """The folder in which what outlives a process is kept, unless a setting names another."""
    default = "/var/lib/zephyr" if hasattr(os, "geteuid") and os.geteuid() == 0 else "~/.local/share/zephyr"
    return Path(os.environ.get("ZEPHYR_HOME") or default).expanduser()


class LogSettings(Group):
    """The conversation log."""

    database_url: SecretStr = Field(
        SecretStr("postgresql://localhost/zephyr"),
        validation_alias="DATABASE_URL",
        description="PostgreSQL: postgresql://user:password@host/name (a socket folder as ?host=/folder).",
    )
    database_pool_size: int = Field(
        8,
        ge=2,
        le=200,
        description="Most connections one gateway process keeps for the log, and one more where keys are needed; to look "
        "after the log it opens another for a moment.",
    )
    database_connect_timeout: float = Field(
        5.0, gt=0, description="Seconds to wait for a database connection."
    )
    database_query_timeout: float = Field(
        5.0, gt=0, description="Seconds one statement may take before its connection is given up."
    )
    log_queue_limit: int = Field(
        4096, ge=1, description="Exchanges waiting to be written before more are refused."
    )
    log_batch_limit: int = Field(256, ge=1, description="Most exchanges in one commit.")
    log_mode: Literal["strict", "best_effort"] = Field(
        "strict",
        description="`strict`: nothing is generated, and no answer ends well, without a durable record. "
        "`best_effort`: answers go on, and what is lost is counted.",
    )
    log_patience: float = Field(
        1.0,
        gt=0,
        description="Seconds an exchange waits for PostgreSQL before it is kept in the spool instead.",
    )
    log_commit_deadline: float = Field(
        10.0,
        gt=0,
        description="Seconds in which an exchange must be durable, in PostgreSQL or in the spool, before its client "
        "is told it failed.",
    )
    spool_dir: Path = Field(
        default_factory=lambda: home() / "spool",
        description="Folder on this machine's disk where exchanges wait while PostgreSQL is away; gateways of one "
        "machine may share it.",
    )
    spool_max_bytes: int = Field(
        2**30, ge=2**20, description="Largest spool of one gateway process, in bytes."
    )
    log_page_bytes: int = Field(
        8 * 2**20,
        ge=1024,
        description="Most bytes of text on one page of the log, or in a conversation that is continued.",
    )
    log_retention_days: int | None = Field(
        None,
        ge=1,
        le=36_500,
        description="Days for which exchanges are kept at least. They go by whole months, so up to a month later; "
        "without it, never.",
    )
