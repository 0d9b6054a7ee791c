"""Times within the calendar that every store can hold, and how they are sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import msgspec

from shared.contracts.alerts import AlertCreate, AlertUpdate
from shared.contracts.runs import RunRequest
from shared.contracts.wire import format_time
from shared.moments import has_times, not_held


def test_only_what_can_have_a_time_is_looked_into() -> None:
    assert has_times(AlertCreate), "its evidence has"
    assert has_times(RunRequest)
    assert not has_times(AlertUpdate)


def test_a_time_out_of_range_is_named_by_its_path() -> None:
    early, late = datetime(999, 12, 31, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
    assert list(not_held(RunRequest(early, late), "body")) == ["body.since", "body.until"]
    assert not list(not_held(RunRequest(datetime(1000, 1, 1, tzinfo=UTC)), "body"))
    assert not list(
        not_held(msgspec.structs.replace(RunRequest(early), since=datetime(9998, 12, 31, tzinfo=UTC)), "body")
    )


def test_a_year_has_four_digits_and_a_second_three_more() -> None:
    assert format_time(datetime(351, 2, 13, 0, 49, 53, 999_999, tzinfo=UTC)) == "0351-02-13T00:49:53.999Z"
    east = timezone(timedelta(hours=9, minutes=23))
    assert format_time(datetime(2026, 6, 14, 9, 23, 0, 1000, tzinfo=east)) == "2026-06-14T00:00:00.001Z"
