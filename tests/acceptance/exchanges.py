"""Looking into the gateway's database from outside, with plain SQL."""

import json
import time
from typing import Any

from tests.databases import rows


class Exchanges:
    """The exchanges of one database."""

    def __init__(self, url: str) -> None:
        self.url = url

    def sql(self, query: str, *arguments: object) -> list[dict[str, Any]]:
        """The rows of a query."""
        return [dict(row) for row in rows(self.url, query, *arguments)]

    def now(self, id: str) -> dict[str, Any] | None:
        """The exchange of an id as the client saw it, if it is there at this moment."""
        rows = self.sql(
            "SELECT * FROM exchanges WHERE id = $1::uuid", id.removeprefix("chatcmpl-").removeprefix("cmpl-")
        )
        return _decoded(rows[0]) if rows else None

    def get(self, id: str, seconds: float = 5.0) -> dict[str, Any]:
        """The exchange of an id, as soon as it is there.

        Raises:
            TimeoutError: it does not come.
        """
        limit = time.monotonic() + seconds
        while (found := self.now(id)) is None:
            if time.monotonic() > limit:
                raise TimeoutError(f"no exchange {id}")
            time.sleep(0.02)
        return found

    def count(self) -> int:
        """How many there are."""
        count: int = self.sql("SELECT count(*) FROM exchanges")[0]["count"]
        return count


def _decoded(row: dict[str, Any]) -> dict[str, Any]:
    for column in ("input", "parameters", "answer", "error", "metadata"):
        if row[column] is not None:
            row[column] = json.loads(row[column])
    return row
