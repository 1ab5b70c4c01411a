"""Short runs of what `python -m tests.overload` does at length: counts, and no times."""

from tests.fakes.engine import Script
from tests.overload import arrivals, leaving, stalled


def test_refusals_are_told_truly_and_everything_admitted_is_answered(database_url: str) -> None:
    """Four times as many arrive as can be answered; the engine never has more than there are places."""
    report = arrivals.measure(places=4, service=0.1, seconds=0.8, database_url=database_url)
    over = report.excessive
    assert len(over.seen) == len(over.answered) + len(over.refused)
    assert over.answered and over.refused
    assert all(one.retry_after and one.shaped for one in over.refused)
    assert report.most_at_the_engine <= report.places
    assert {one.kind for one in report.peak.seen} == {"answered"}


def test_slow_readers_leave_nothing_and_harm_nobody(database_url: str) -> None:
    """Each is cut off, its generation stopped at the engine and recorded as what it was."""
    report = stalled.readers(40, 1.0, Script(pieces=("x" * 2048,) * 1000), database_url)
    assert report.outcomes == {"client_gone": 40}
    assert (report.files_left, report.running_left) == (0, 0)
    assert report.others_answered


def test_senders_that_stop_half_way_leave_nothing_and_harm_nobody(database_url: str) -> None:
    report = stalled.senders(60, 1.0, database_url)
    assert (report.files_left, report.running_left, report.outcomes) == (0, 0, {})
    assert report.others_answered


def test_clients_that_leave_at_any_moment_leave_nothing(database_url: str) -> None:
    """Neither files, connections nor work at the engine, and every generation that was begun has a record."""
    report = leaving.measure(300, database_url=database_url)
    assert report.began > 100
    assert report.files_left == 0
    assert report.unrecorded == 0
    assert set(report.outcomes) <= {"client_gone", "completed"}
    assert report.outcomes["client_gone"] > report.began // 5
    assert report.engine_connections <= 2
