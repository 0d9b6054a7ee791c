"""Times as feeds write them: RFC 3339, dates, seconds since 1970; what can't be read is no time. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import lru_cache

_SPACES = str.maketrans({" ": "T"})
_LATEST = 4102444800  # 2100-01-01: beyond it a number is no time in seconds


@lru_cache(maxsize=4096)  # feeds name the same time again and again
def moment(text: str | int | None) -> datetime | None:
    """A time with a zone (UTC where none is said), between 1970 and 2100; None for anything else."""
    if text is None or text == "":
        return None
    written = str(text).strip()
    try:
        if written.isdigit():
            seconds = int(written[:13])
            found = datetime.fromtimestamp(seconds, UTC) if seconds < _LATEST else None
        else:
            found = datetime.fromisoformat(written.removesuffix(" UTC").translate(_SPACES))
    except (ValueError, OverflowError, OSError):
        return None
    if found is None or not 1970 <= found.year < 2100:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def day(text: str | int | None) -> date | None:
    """The day of a time; None for anything else."""
    found = moment(text)
    return None if found is None else found.date()
