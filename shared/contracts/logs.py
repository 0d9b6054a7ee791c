"""Log events: intake and search (SOC page, "SIEM / Detection"; DECISIONS, "Shapes that clients rely on")."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from shared.contracts.common import Page, PageQuery
from shared.contracts.constants import SIEM_READ, SIEM_WRITE, Endpoint
from shared.errors import (
    CLICKHOUSE_UNAVAILABLE,
    MALFORMED_REQUEST,
    PAYLOAD_TOO_LARGE,
    RATE_LIMITED,
    UNSUPPORTED_MEDIA_TYPE,
    VALIDATION,
)

SourceName = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[\w.:/@ -]+$")]


class IngestQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`source` names where the events come from; `format` forces a parser instead of recognising it."""

    source: SourceName = "default"
    format: Annotated[str, Meta(max_length=64)] | None = None


class UploadQuery(IngestQuery, forbid_unknown_fields=True, kw_only=True):
    """`filename` tells by its ending what the file is: .evtx, .json, .ndjson or .jsonl, each also gzipped (.gz)."""

    filename: Annotated[str, Meta(max_length=512)] = ""


class IngestProblem(msgspec.Struct, frozen=True):
    """Why the item at `index` (from 0, in the order sent) was rejected."""

    index: int
    message: str


class IngestReceipt(msgspec.Struct):
    """`accepted` events are durable when this is sent. `errors` lists at most 1,000 problems."""

    accepted: int
    rejected: int
    errors: list[IngestProblem]
    receipt: str


FieldName = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[\w@.-]+$")]


class LogQuery(PageQuery, forbid_unknown_fields=True, kw_only=True):
    """Search: `q` in the language of docs/search.md: `field:value`, wildcards, ranges, AND, OR, NOT, parentheses and
    bare words, without regard to case; `log_term` writes a term. `since` and `until` bound the event time, `since`
    included, `until` not.

    On request: `fields` (ECS names, with commas) leaves only these in `ecs`, and `raw` empty unless it is named;
    `histogram` counts all matches by time (`30s`, `5m`, `1h`, `1d` or `auto`); `top` counts the values of a field."""

    q: Annotated[str, Meta(max_length=8192)] = ""
    source: SourceName | None = None
    receipt: Annotated[str, Meta(max_length=64)] | None = None
    since: datetime | None = None
    until: datetime | None = None
    fields: Annotated[str, Meta(max_length=4096, pattern=r"^[\w@.-]+(,[\w@.-]+)*$")] | None = None
    histogram: Annotated[str, Meta(pattern=r"^(auto|[1-9][0-9]{0,5}[smhd])$")] | None = None
    top: FieldName | None = None


class TimeCount(msgspec.Struct, frozen=True):
    """How many events match in the interval that begins at `time`."""

    time: datetime
    count: int


class ValueCount(msgspec.Struct, frozen=True):
    """How many matching events have the value; of a list each value counts. Cut after 512 characters."""

    value: str
    count: int


def log_term(field: str, value: str) -> str:
    """A term for `LogQuery.q` that matches exactly this value, whatever characters it has."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("*", "\\*")
    return f'{field}:"{escaped}"'


class LogEvent(msgspec.Struct, kw_only=True):
    """One stored event. `ecs` holds the normalised fields under dotted ECS names; `raw` is the event as received."""

    id: str
    timestamp: datetime
    ingested_at: datetime
    source: str
    dataset: str
    message: str
    ecs: dict[str, Any]
    raw: str
    receipt: str


class LogPage(Page[LogEvent], kw_only=True):
    """A page of events, newest first. `histogram` (intervals without events are left out) and `top` (the ten most
    frequent values) are of all matches, not of the page. `slow` names terms that no index helps with."""

    histogram: list[TimeCount] | UnsetType = UNSET
    top: list[ValueCount] | UnsetType = UNSET
    slow: list[str] | UnsetType = UNSET


SEARCH_LOGS = Endpoint(
    "GET",
    "/api/v1/siem/logs",
    SIEM_READ,
    service="siem",
    summary="Search SIEM logs",
    query=LogQuery,
    returns=LogPage,
    errors=(VALIDATION, CLICKHOUSE_UNAVAILABLE),
    tag="SIEM / Detection",
)
INGEST_LOGS = Endpoint(
    "POST",
    "/api/v1/siem/logs/ingest",
    SIEM_WRITE,
    service="siem",
    summary="Ingest log entry",
    query=IngestQuery,
    body=bytes,
    returns=IngestReceipt,
    status=202,
    errors=(
        MALFORMED_REQUEST,
        VALIDATION,
        RATE_LIMITED,
        PAYLOAD_TOO_LARGE,
        UNSUPPORTED_MEDIA_TYPE,
        CLICKHOUSE_UNAVAILABLE,
    ),
    tag="SIEM / Detection",
    consumes=("application/json", "application/x-ndjson", "text/plain"),
    max_body=32 * 1024 * 1024,
    timeout_seconds=120.0,
)
UPLOAD_LOGS = Endpoint(
    "POST",
    "/api/v1/siem/logs/upload",
    SIEM_WRITE,
    service="siem",
    summary="Ingest a log file",
    query=UploadQuery,
    body=bytes,
    returns=IngestReceipt,
    status=202,
    errors=INGEST_LOGS.errors,
    tag="SIEM / Detection",
    consumes=(
        "application/octet-stream",
        "application/x-evtx",
        "application/gzip",
        "application/x-gzip",
        *INGEST_LOGS.consumes,
    ),
    max_body=64 * 1024 * 1024,
    timeout_seconds=300.0,
)
