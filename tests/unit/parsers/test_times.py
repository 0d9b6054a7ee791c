"""Times as logs write them."""

from datetime import UTC, datetime

import pytest

from services.siem.logs.parsers.times import any_time, bsd, common_log, epoch, has_zone, iso


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-02T10:11:12Z", datetime(2026, 11, 2, 10, 11, 12, tzinfo=UTC)),
        ("2026-11-02T10:11:12.123456789+02:00", datetime(2026, 11, 2, 8, 11, 12, 123456, tzinfo=UTC)),
        ("2026-11-02 10:11:12.5", datetime(2026, 11, 2, 10, 11, 12, 500000, tzinfo=UTC)),
        ("1969-12-31T23:59:59Z", None),
        ("9999-12-31T23:59:59-01:00", None),
        ("yesterday", None),
        (12, None),
    ],
)
def test_iso_times_become_utc(text: object, expected: datetime | None) -> None:
    assert iso(text) == expected


@pytest.mark.parametrize(
    "value", [1761955200, 1761955200000, 1761955200000000, 1761955200000000000, "1761955200", 1761955200.0]
)
def test_an_epoch_number_is_read_in_its_own_unit(value: object) -> None:
    assert epoch(value) == datetime(2025, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize("value", [True, -1, 0, "1e9", "²", "9" * 33, 1e300, float("nan"), None, [1]])
def test_what_is_no_epoch_number_is_no_time(value: object) -> None:
    assert any_time(value) is None


def test_a_time_without_a_year_is_the_latest_that_is_not_ahead_of_the_receipt() -> None:
    received = datetime(2026, 1, 1, 0, 30, tzinfo=UTC)
    assert bsd("Dec", "31", "23:59:59", received) == datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert bsd("Jan", "1", "01:00:00", received) == datetime(2026, 1, 1, 1, tzinfo=UTC)


def test_a_clock_a_little_ahead_of_the_turn_of_the_year_is_believed() -> None:
    received = datetime(2025, 12, 31, 23, 59, tzinfo=UTC)
    assert bsd("Jan", "1", "00:00:10", received) == datetime(2026, 1, 1, 0, 0, 10, tzinfo=UTC)


def test_a_leap_day_belongs_to_the_last_leap_year() -> None:
    received = datetime(2026, 11, 22, tzinfo=UTC)
    assert bsd("Feb", "29", "12:00:00", received) == datetime(2024, 2, 29, 12, tzinfo=UTC)
    assert bsd("Feb", "30", "12:00:00", received) is None
    assert bsd("Foo", "1", "12:00:00", received) is None


def test_an_access_log_time_is_converted_by_its_offset() -> None:
    assert common_log("10/Oct/2000:13:55:36 -0700") == datetime(2000, 10, 10, 20, 55, 36, tzinfo=UTC)
    assert common_log("40/Oct/2000:13:55:36 -0700") is None


def test_a_zone_is_seen_at_the_end_of_a_time() -> None:
    assert has_zone("2026-11-02T10:11:12Z")
    assert has_zone("2026-11-02T10:11:12+02:00")
    assert not has_zone("2026-11-02 10:11:12")
    assert not has_zone(5)
