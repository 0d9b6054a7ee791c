"""Runs of detection rules over stored events of the past (SOC page, "SIEM / Detection")."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from shared.contracts.common import Page, PageQuery
from shared.contracts.constants import SIEM_READ, SIEM_WRITE, Endpoint
from shared.errors import CONFLICT, NOT_FOUND, RATE_LIMITED, VALIDATION

RunStatus = Literal["queued", "running", "completed", "failed", "cancelled"]
ZonedTime = Annotated[datetime, Meta(tz=True)]


class RunRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A range of event time: `since` is included, `until` isn't. Without `until`, or with one to come: until now."""

    since: ZonedTime
    until: ZonedTime | None = None


class Run(msgspec.Struct, kw_only=True):
    """One evaluation of a range. `rule_id` is null when all served rules are evaluated.

    `events_read` counts the events that were held against the engine, `matches` what it found, `new_matches` those
    that nobody had found before; `alerts` is how many alerts count them. `progress` is the share of the range's time
    that is done, 0 to 1. `error` names what ended a failed run.
    """

    id: str
    rule_id: str | None
    since: datetime
    until: datetime
    status: RunStatus
    requested_by: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    events_read: int
    matches: int
    new_matches: int
    alerts: int
    failures: int
    error: str | None
    progress: float


class RunQuery(PageQuery, forbid_unknown_fields=True, kw_only=True):
    """A page of runs, newest first."""


RUN_RULE = Endpoint(
    "POST",
    "/api/v1/detections/rules/{rule_id}/run",
    SIEM_WRITE,
    service="siem",
    summary="Run detection rule over stored events",
    body=RunRequest,
    returns=Run,
    status=202,
    errors=(VALIDATION, NOT_FOUND, CONFLICT, RATE_LIMITED),
    tag="SIEM / Detection",
)
LIST_RULE_RUNS = Endpoint(
    "GET",
    "/api/v1/detections/rules/{rule_id}/runs",
    SIEM_READ,
    service="siem",
    summary="List rule runs, those of all rules together among them",
    query=RunQuery,
    returns=Page[Run],
    errors=(VALIDATION, NOT_FOUND),
    tag="SIEM / Detection",
)
RUN_ALL_RULES = Endpoint(
    "POST",
    "/api/v1/detections/runs",
    SIEM_WRITE,
    service="siem",
    summary="Run all served detection rules over stored events",
    body=RunRequest,
    returns=Run,
    status=202,
    errors=(VALIDATION, CONFLICT, RATE_LIMITED),
    tag="SIEM / Detection",
)
GET_RUN = Endpoint(
    "GET",
    "/api/v1/detections/runs/{run_id}",
    SIEM_READ,
    service="siem",
    summary="Get a run",
    returns=Run,
    errors=(NOT_FOUND,),
    tag="SIEM / Detection",
)
CANCEL_RUN = Endpoint(
    "POST",
    "/api/v1/detections/runs/{run_id}/cancel",
    SIEM_WRITE,
    service="siem",
    summary="Cancel a run; what it found stays",
    returns=Run,
    errors=(NOT_FOUND, CONFLICT),
    tag="SIEM / Detection",
)
