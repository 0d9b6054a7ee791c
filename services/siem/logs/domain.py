"""What a place in the list of events is, which times can be stored, and the intervals of a histogram. Pure."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shared.errors import field_error

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: What the store can hold.
EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LATEST = datetime(2299, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
#: What `auto` chooses from, in seconds: 1 s to 1 day, then multiples of 30 days.
_INTERVALS = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10800, 43200, 86400, 7 * 86400)
_MONTH = 30 * 86400
_AUTO = 60


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ended: the time and the id of its last event."""

    timestamp: datetime
    id: str


def encode_cursor(position: Position) -> str:
    """An opaque cursor."""
    milliseconds = (position.timestamp - EPOCH) // timedelta(milliseconds=1)
    return base64.urlsafe_b64encode(f"{milliseconds}:{position.id}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> Position:
    """The position of a cursor. Raises AURORA-4220 for one that isn't ours."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
        milliseconds, _, identifier = text.partition(":")
        timestamp = EPOCH + timedelta(milliseconds=int(milliseconds))
    except (binascii.Error, ValueError, OverflowError) as error:
        raise field_error("query.cursor", "not a cursor that this list gave") from error
    if not identifier or not EARLIEST <= timestamp <= LATEST:
        raise field_error("query.cursor", "not a cursor that this list gave")
    return Position(timestamp, identifier)


def within_range(moment: datetime) -> datetime:
    """The time in UTC, moved to the nearest that can be stored; a time without a zone is UTC."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    if aware.year <= EARLIEST.year - 1:
        return EARLIEST
    return min(max(aware.astimezone(UTC), EARLIEST), LATEST) if aware.year <= LATEST.year + 1 else LATEST


def interval_seconds(text: str) -> int:
    """The length of `30s`, `5m`, `1h` or `1d`."""
    return int(text[:-1]) * _UNITS[text[-1]]


def fitting_interval(first: datetime, last: datetime) -> int:
    """The shortest interval, in seconds, of which about sixty cover the time between."""
    wanted = (last - first).total_seconds() / _AUTO
    return next((seconds for seconds in _INTERVALS if seconds >= wanted), _MONTH * (int(wanted / _MONTH) + 1))
