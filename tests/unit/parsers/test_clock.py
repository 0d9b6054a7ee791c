"""Events whose origin's clock runs ahead are marked."""

from datetime import timedelta

import pytest

from tests.unit.parsers.parsing import RECEIVED, event

FIELD = "aurora.clock_skew_seconds"


@pytest.mark.parametrize(
    ("ahead", "seconds"),
    [(timedelta(minutes=5), None), (timedelta(minutes=5, seconds=1), 301), (timedelta(hours=2), 7200)],
)
def test_a_time_over_five_minutes_after_the_receipt_is_a_skewed_clock(ahead: timedelta, seconds: int | None) -> None:
    assert event({"time": (RECEIVED + ahead).isoformat(), "x": 1}).ecs.get(FIELD) == seconds


def test_an_event_of_the_past_is_only_late() -> None:
    assert FIELD not in event({"time": (RECEIVED - timedelta(days=400)).isoformat(), "x": 1}).ecs


def test_a_zone_is_no_skew() -> None:
    assert FIELD not in event({"time": "2026-11-22T22:00:00+10:00", "x": 1}).ecs
    assert event({"time": "2026-11-22T22:00:00Z", "x": 1}).ecs[FIELD] == 36000
