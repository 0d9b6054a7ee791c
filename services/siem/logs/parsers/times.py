"""Reads the times that logs carry. Local times without a zone are taken as UTC, as senders are told to log in UTC.

Each function gives an aware UTC datetime, or None when the text isn't a time or lies outside 1970 to 2199 (the store's
range); the caller then falls back to the time of receipt. Owns no clock.
"""

from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Any

MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), start=1
    )
}
_LAST_YEAR = 2199
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Numbers below the limit count in this many units a second; 1e11 seconds lie in the year 5138.
_UNITS = ((10**11, 1), (10**14, 10**3), (10**17, 10**6))
#: A year-less time may lie this far after the receipt (a clock ahead, a zone ahead) and still be of this year.
_AHEAD = timedelta(days=1)


def iso(value: Any) -> datetime | None:
    """RFC 3339 and its ISO 8601 relatives: `T` or a space, any fraction, `Z`, an offset or no zone."""
    if not isinstance(value, str) or len(value) > 40 or len(value) < 10:
        return None
    try:
        when = datetime.fromisoformat(value)
        when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return when if 1970 <= when.year <= _LAST_YEAR else None


def has_zone(value: Any) -> bool:
    """Whether a time text names its zone, so that it needs no guess."""
    return isinstance(value, str) and (value[-1:] in "Zz" or (value[-6:-5] in ("+", "-") and value[-3:-2] == ":"))


def epoch(value: Any) -> datetime | None:
    """Seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by their size."""
    if isinstance(value, str):
        if len(value) > 32 or not value.replace(".", "", 1).isdecimal() or not value.isascii():
            return None
        value = float(value) if "." in value else int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e20:
        return None
    unit = next((unit for limit, unit in _UNITS if value < limit), 10**9)
    # Whole seconds and the rest apart: a float of nanoseconds has no digits left for microseconds.
    seconds, rest = divmod(value, unit)
    when = _EPOCH + timedelta(seconds=seconds, microseconds=round(rest * 10**6 / unit))
    return when if when.year <= _LAST_YEAR else None


def any_time(value: Any) -> datetime | None:
    """A time in either form that JSON logs use: ISO text or epoch number (also as text)."""
    return iso(value) or epoch(value)


def bsd(month: str, day: str, clock: str, received_at: datetime) -> datetime | None:
    """`Nov 10 08:19:44` (RFC 3164) without a year: the latest year that isn't over a day after the receipt."""
    number = MONTHS.get(month)
    if number is None:
        return None
    latest = received_at + _AHEAD
    # Eight years back at most: that many lie between two 29ths of February around a century.
    for year in range(latest.year, latest.year - 9, -1):
        try:
            when = datetime(year, number, int(day), int(clock[:2]), int(clock[3:5]), int(clock[6:8]), tzinfo=UTC)
        except ValueError:
            continue
        if when <= latest:
            return when
    return None


@lru_cache(maxsize=256)
def _offset(text: str) -> timezone:
    minutes = int(text[1:3]) * 60 + int(text[3:5])
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))


def common_log(value: str) -> datetime | None:
    """`10/Oct/2000:13:55:36 -0700`, as nginx and apache write it."""
    try:
        return datetime(
            int(value[7:11]),
            MONTHS[value[3:6]],
            int(value[:2]),
            int(value[12:14]),
            int(value[15:17]),
            int(value[18:20]),
            tzinfo=_offset(value[21:26]),
        ).astimezone(UTC)
    except (ValueError, KeyError, IndexError, OverflowError):
        return None
