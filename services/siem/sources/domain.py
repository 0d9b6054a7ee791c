"""The figures of sources put together: what the log table says, what is remembered, what holds. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.contracts.sources import LogSourceState


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered of a source; None: never seen, or no policy of its own."""

    name: str
    first_seen: datetime | None
    last_seen: datetime | None
    retention_days: int | None


@dataclass(frozen=True, slots=True)
class Week:
    """What the log table says of 7 days of a source."""

    datasets: list[str]
    events: int
    last_hour: int
    unparsed: int
    clock_ahead: int
    clock_ahead_ms: int


@dataclass(frozen=True, slots=True)
class Day:
    """What the log table says of 24 hours of a source; `fields` counts the events that have each."""

    events: int
    lag_ms: int
    parse_errors: int
    fields: Mapping[str, int]


_SILENT_WEEK = Week([], 0, 0, 0, 0, 0)


def state(known: Known, week: Week | None, day: Day | None, rejected: int, default_days: int) -> LogSourceState:
    """One source as it is shown."""
    week = week or _SILENT_WEEK
    return LogSourceState(
        name=known.name,
        datasets=sorted(week.datasets),
        first_seen=known.first_seen,
        last_seen=known.last_seen,
        events_24h=0 if day is None else day.events,
        events_7d=week.events,
        rate_per_minute=round(week.last_hour / 60, 2),
        lag_ms=None if day is None else day.lag_ms,
        unparsed=week.unparsed,
        parse_errors=0 if day is None else day.parse_errors,
        rejected=rejected,
        field_coverage={} if day is None else {name: round(n / day.events, 4) for name, n in day.fields.items()},
        clock_ahead=week.clock_ahead,
        clock_ahead_ms=week.clock_ahead_ms,
        retention_days=known.retention_days or default_days,
    )
