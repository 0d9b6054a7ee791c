"""Log sources: how they are doing and how long their events are kept; figures of the whole (SOC page, "SIEM /
Detection")."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from shared.contracts.common import Page, Severity
from shared.contracts.constants import SIEM_READ, SIEM_WRITE, Endpoint
from shared.errors import CLICKHOUSE_UNAVAILABLE, NOT_FOUND, UNAVAILABLE, VALIDATION


class LogSourceState(msgspec.Struct, kw_only=True):
    """One source of the last 7 days, or one that was seen before and is silent.

    `rate_per_minute` is over the last hour. `lag_ms` is the median of arrival less event time over the last 24 hours,
    null without events. `unparsed` counts the events of 7 days that no parser knew (kept as text), `parse_errors`
    those of 24 hours that a parser failed on (event.kind pipeline_error), `rejected` the items of 7 days that
    weren't taken (dead letters). `field_coverage` is the part (0 to 1) of the 24 hours' events that have the field.
    `clock_ahead` counts events of 7 days whose time lies over 5 minutes after their arrival, `clock_ahead_ms` is the
    worst of them. `retention_days` is how long events are kept after their arrival.
    """

    name: str
    datasets: list[str]
    first_seen: datetime | None
    last_seen: datetime | None
    events_24h: int
    events_7d: int
    rate_per_minute: float
    lag_ms: int | None
    unparsed: int
    parse_errors: int
    rejected: int
    field_coverage: dict[str, float]
    clock_ahead: int
    clock_ahead_ms: int
    retention_days: int


class SourceUpdate(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How long events are kept after their arrival; it holds for stored events too. Null: the default."""

    retention_days: Annotated[int, Meta(ge=1, le=3650)] | None


class SourcePolicy(msgspec.Struct, kw_only=True):
    """What holds for a source. Events that are over it go in the background, within some hours."""

    name: str
    retention_days: int
    changed_by: str
    changed_at: datetime


class SiemStats(msgspec.Struct, kw_only=True):
    """`stored_bytes` is what the events take on the disk, compressed. `waiting_batches` and `waiting_events` are stored
    and not yet evaluated. Days and hours are UTC and count arrivals."""

    events_total: int
    events_today: int
    events_last_hour: int
    stored_bytes: int
    sources: int
    rules_enabled: int
    alerts_open: dict[Severity, int]
    waiting_batches: int
    waiting_events: int
    dead_letters: int


LIST_SOURCES = Endpoint(
    "GET",
    "/api/v1/siem/sources",
    SIEM_READ,
    service="siem",
    summary="List log sources",
    returns=Page[LogSourceState],
    errors=(UNAVAILABLE, CLICKHOUSE_UNAVAILABLE),
    tag="SIEM / Detection",
)
UPDATE_SOURCE = Endpoint(
    "PATCH",
    "/api/v1/siem/sources/{name}",
    SIEM_WRITE,
    service="siem",
    summary="Say how long the events of a source are kept",
    body=SourceUpdate,
    returns=SourcePolicy,
    errors=(NOT_FOUND, VALIDATION, UNAVAILABLE, CLICKHOUSE_UNAVAILABLE),
    tag="SIEM / Detection",
)
GET_STATS = Endpoint(
    "GET",
    "/api/v1/siem/stats",
    SIEM_READ,
    service="siem",
    summary="SIEM statistics",
    returns=SiemStats,
    errors=(UNAVAILABLE, CLICKHOUSE_UNAVAILABLE),
    tag="SIEM / Detection",
)
