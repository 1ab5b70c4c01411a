"""An upgrade without a stop: a short run of what `python -m tests.upgrade` does at length."""

from pathlib import Path

import pytest

from adapters.database.schema import newest
from tests.upgrade.run import NoHistory, Plan, roll


async def test_old_and_new_side_by_side_lose_nothing(empty_database_url: str, tmp_path: Path) -> None:
    """Under load throughout: the old gateway on the old schema and on the new one, beside the new one, and gone."""
    try:
        report = await roll(Plan(seconds=0.6), empty_database_url, tmp_path)
    except NoHistory as reason:
        pytest.skip(str(reason))
    assert report.verdict.holds, report.verdict
    assert set(report.statuses) <= {200, None}, report.statuses
    assert report.statuses[None] <= 4, "only what was under way when the clients left"
    assert all(report.acknowledged.values()), report.acknowledged
    assert report.revisions == (f"{int(newest()) - 1:04}", newest())
