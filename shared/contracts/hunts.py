"""Hunts: saved questions to the stored events, and their runs (SOC page, "SIEM / Detection")."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from shared.contracts.common import Page, PageQuery, TechniqueId
from shared.contracts.constants import SIEM_READ, SIEM_WRITE, Endpoint
from shared.errors import CLICKHOUSE_UNAVAILABLE, CONFLICT, NOT_FOUND, RATE_LIMITED, SIGMA_INVALID, VALIDATION

HuntStatus = Literal["queued", "running", "completed", "failed", "cancelled"]
ParameterType = Literal["string", "number", "ip", "datetime"]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Description = Annotated[str, Meta(max_length=4096)]
Query = Annotated[str, Meta(min_length=1, max_length=8192)]
Sigma = Annotated[str, Meta(min_length=1, max_length=64 * 1024)]
RangeHours = Annotated[int, Meta(ge=1, le=24 * 366)]
#: Five fields (minute, hour, day of month, month, day of week), in UTC.
Schedule = Annotated[str, Meta(min_length=9, max_length=128)]
Value = Annotated[str, Meta(max_length=512)]
ParameterName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Values = Annotated[dict[ParameterName, Value], Meta(max_length=16)]


class HuntParameter(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What `{{name}}` in the query stands for. Without a default each run must name its value."""

    name: ParameterName
    type: ParameterType = "string"
    default: Value | None = None


Parameters = Annotated[list[HuntParameter], Meta(max_length=16)]
Techniques = Annotated[list[TechniqueId], Meta(max_length=32)]


class HuntCreate(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A new hunt: a `query` in the language of the log search, or a `sigma` rule; one of the two.

    `range_hours` is how far back a run looks when it isn't told. `schedule` is a cron expression, in UTC.
    """

    name: Name
    description: Description = ""
    query: Query | None = None
    sigma: Sigma | None = None
    parameters: Parameters = []
    mitre_techniques: Techniques = []
    range_hours: RangeHours = 24
    schedule: Schedule | None = None


class HuntUpdate(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is to change; a null `schedule` ends it. The kind of a hunt (query or Sigma) stays."""

    name: Name | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    query: Query | UnsetType = UNSET
    sigma: Sigma | UnsetType = UNSET
    parameters: Parameters | UnsetType = UNSET
    mitre_techniques: Techniques | UnsetType = UNSET
    range_hours: RangeHours | UnsetType = UNSET
    schedule: Schedule | UnsetType | None = UNSET


class Hunt(msgspec.Struct, kw_only=True):
    """A stored hunt. `next_run_at` is when its schedule starts it next."""

    id: str
    name: str
    description: str
    query: str | None
    sigma: str | None
    parameters: list[HuntParameter]
    mitre_techniques: list[str]
    range_hours: int
    schedule: str | None
    next_run_at: datetime | None
    created_by: str
    created_at: datetime
    updated_at: datetime


class HuntRunRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`since` is included, `until` isn't; without them the hunt's range up to now."""

    parameters: Values = {}
    since: datetime | None = None
    until: datetime | None = None


class HuntDiff(msgspec.Struct, kw_only=True):
    """Against the last completed run `compared_to`: hits that are new (`new_ids` names up to 1,000), and gone ones."""

    compared_to: str
    new_count: int
    new_ids: list[str]
    gone_count: int


class HuntRun(msgspec.Struct, kw_only=True):
    """One run. `progress` goes from 0 to 1; `complete` is false when there were more hits than are counted (10,000), or
    when it ended at its limit of time or of events read: `error` says then how far it got.

    `duration_ms` is null until it ended; `diff` is null when there is no completed run before it.
    """

    id: str
    hunt_id: str
    created_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    duration_ms: int | None
    parameters: dict[str, str]
    since: datetime
    until: datetime
    status: HuntStatus
    progress: float
    hits: int
    complete: bool
    error: str | None
    diff: HuntDiff | None


class HuntHit(msgspec.Struct, kw_only=True):
    """An event that a run found; `message` is cut to 300 characters."""

    log_id: str
    timestamp: datetime
    source: str
    message: str


class HuntRunDetail(HuntRun, kw_only=True):
    """A run with up to 1,000 of its hits, newest first, and what was asked. `slow` names what no index helps with."""

    query: str | None
    sigma: str | None
    found: list[HuntHit]
    slow: list[str] | UnsetType = UNSET


_COMMON: dict[str, Any] = {"service": "siem", "tag": "SIEM / Detection"}

LIST_HUNTS = Endpoint(
    "GET",
    "/api/v1/siem/hunts",
    SIEM_READ,
    summary="List hunt queries",
    query=PageQuery,
    returns=Page[Hunt],
    errors=(VALIDATION,),
    **_COMMON,
)
CREATE_HUNT = Endpoint(
    "POST",
    "/api/v1/siem/hunts",
    SIEM_WRITE,
    summary="Create hunt query",
    body=HuntCreate,
    returns=Hunt,
    status=201,
    errors=(VALIDATION, SIGMA_INVALID, CLICKHOUSE_UNAVAILABLE),
    **_COMMON,
)
UPDATE_HUNT = Endpoint(
    "PATCH",
    "/api/v1/siem/hunts/{hunt_id}",
    SIEM_WRITE,
    summary="Update hunt query",
    body=HuntUpdate,
    returns=Hunt,
    errors=(NOT_FOUND, VALIDATION, SIGMA_INVALID, CLICKHOUSE_UNAVAILABLE),
    **_COMMON,
)
RUN_HUNT = Endpoint(
    "POST",
    "/api/v1/siem/hunts/{hunt_id}/run",
    SIEM_WRITE,
    summary="Run hunt query",
    body=HuntRunRequest,
    returns=HuntRun,
    status=202,
    errors=(NOT_FOUND, VALIDATION, RATE_LIMITED, CLICKHOUSE_UNAVAILABLE),
    **_COMMON,
)
LIST_HUNT_RUNS = Endpoint(
    "GET",
    "/api/v1/siem/hunts/{hunt_id}/runs",
    SIEM_READ,
    summary="List the runs of a hunt",
    query=PageQuery,
    returns=Page[HuntRun],
    errors=(NOT_FOUND, VALIDATION),
    **_COMMON,
)
GET_HUNT_RUN = Endpoint(
    "GET",
    "/api/v1/siem/hunts/runs/{run_id}",
    SIEM_READ,
    summary="One run of a hunt, with its hits",
    returns=HuntRunDetail,
    errors=(NOT_FOUND,),
    **_COMMON,
)
CANCEL_HUNT_RUN = Endpoint(
    "POST",
    "/api/v1/siem/hunts/runs/{run_id}/cancel",
    SIEM_WRITE,
    summary="Cancel a run of a hunt",
    returns=HuntRun,
    errors=(NOT_FOUND, CONFLICT),
    **_COMMON,
)
