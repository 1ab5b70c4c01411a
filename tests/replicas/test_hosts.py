"""Two gateways, two engines, a router and a PostgreSQL on hosts of their own: `python -m tests.replicas hosts`, in short."""

from pathlib import Path

import pytest

from tests.replicas.hosts import check
from tests.replicas.network import NoNetwork


def test_keys_limits_threads_and_the_log_hold_over_gateways(tmp_path: Path, router_python: Path) -> None:
    """Also while the database's cable is pulled."""
    try:
        found = check(tmp_path, router_python, clients=2, seconds=2.0)
    except NoNetwork as error:
        pytest.skip(str(error))
    assert found == {"keys": True, "limits": True, "threads": True, "log": True}
