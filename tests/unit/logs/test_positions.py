"""The cursor of log search, the times that can be stored, and the intervals of a histogram."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from services.siem.logs.domain import (
    EARLIEST,
    LATEST,
    Position,
    decode_cursor,
    encode_cursor,
    fitting_interval,
    interval_seconds,
    within_range,
)
from shared.errors import AuroraError


@given(st.datetimes(datetime(1900, 1, 1), datetime(2299, 12, 31)), st.uuids())  # noqa: DTZ001 - made aware below
def test_a_cursor_is_read_as_the_position_it_was_made_from(moment: datetime, identifier: object) -> None:
    position = Position(moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC), str(identifier))
    assert decode_cursor(encode_cursor(position)) == position


@given(st.text(max_size=60))
def test_any_other_text_is_no_cursor(text: str) -> None:
    with suppress(AuroraError):
        assert EARLIEST <= decode_cursor(text).timestamp <= LATEST


def test_times_beyond_what_can_be_stored_move_to_its_ends() -> None:
    late, early = timezone(timedelta(hours=-14)), timezone(timedelta(hours=14))
    assert within_range(datetime.max.replace(tzinfo=late)) == LATEST
    assert within_range(datetime.min.replace(tzinfo=early)) == EARLIEST
    assert within_range(datetime(2026, 1, 1)) == datetime(2026, 1, 1, tzinfo=UTC)  # noqa: DTZ001 - the case


def test_an_interval_is_read_in_its_unit() -> None:
    assert [interval_seconds(text) for text in ("30s", "5m", "2h", "1d")] == [30, 300, 7200, 86400]


@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)), st.timedeltas(timedelta(0), timedelta(days=36000)))  # noqa: DTZ001
def test_an_automatic_interval_makes_at_most_sixty_or_so(first: datetime, length: timedelta) -> None:
    assert length.total_seconds() / fitting_interval(first, first + length) <= 60
