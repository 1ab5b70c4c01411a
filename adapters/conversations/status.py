"""Where the log's exchanges are, in figures."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class LogStatus:
    """Where everything is that this process was given: by its own generations, or by the spool of one that ended.

    Exchanges are counted, and the answers that are kept for repeated requests (`KeptAnswer`), each as one.
    At any moment `accepted == committed + spooled + refused + lost + waiting`.
    """

    accepted: int
    committed: int
    """In PostgreSQL."""
    spooled: int
    """On this machine's disk, to be shipped to PostgreSQL."""
    refused: int
    """Neither, and their owners were told so; or set aside because PostgreSQL will not have them."""
    lost: int
    """Neither, and their owners were told that all is well: only in the mode `best_effort`."""
    waiting: int
    """Neither yet."""
    oldest_unshipped: datetime | None
    """When the exchange was accepted that has been in the spool for longest."""
    database_away_since: datetime | None
    spool_problem: str | None
    spool_room_bytes: int
    """What the spool's limit and its disk leave, as of the last look; 0 before the first."""
