"""The time and new ids: the two things that pure code takes as arguments."""

from __future__ import annotations

from datetime import UTC, datetime

import uuid_utils


def utc_now() -> datetime:
    """Now, UTC, cut to milliseconds, so that what is stored equals what is sent."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def new_id() -> str:
    """A UUIDv7: unique, and ordered by the time it was made."""
    return str(uuid_utils.uuid7())
