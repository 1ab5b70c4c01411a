"""Keys as a person, or a program behind a pipe, reads them."""

import io
from datetime import UTC, datetime
from uuid import UUID

import pytest
from rich.console import Console

from adapters.access.callers import KeyScope, Limits
from adapters.keys.key import Key
from adapters.keys.terminal import print_keys

KEY = Key(
    id=UUID(int=1),
    tenant="team-with-a-long-name",
    name="the nightly job of the batch",
    prefix="zk_abcdefgh",
    scopes=tuple(KeyScope),
    limits=Limits(),
    created_at=datetime.now(UTC),
    expires_at=datetime(2020, 1, 1, tzinfo=UTC),
    revoked_at=None,
    former_until=None,
)


@pytest.mark.parametrize("terminal", [True, False])
def test_narrow_terminals_lose_no_column(terminal: bool) -> None:
    """Neither the states nor what keys may do."""
    written = io.StringIO()
    print_keys(Console(file=written, width=80, force_terminal=terminal, color_system=None), [KEY])
    assert "expired" in written.getvalue()
    for scope in KeyScope:
        assert scope.value in written.getvalue()


def test_a_pipe_gets_a_line_for_each_key() -> None:
    written = io.StringIO()
    print_keys(Console(file=written), [KEY, KEY])
    assert len(written.getvalue().splitlines()) == 3
