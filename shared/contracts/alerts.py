"""Alerts: the shape, its endpoints (SOC page, "Alerts") and its events (DECISIONS, "Shapes")."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from shared.contracts.common import (
    LongText,
    Observable,
    Page,
    PageQuery,
    Severity,
    ShortText,
    TechniqueId,
)
from shared.contracts.constants import ALERTS_READ, ALERTS_WRITE, Endpoint, Topic
from shared.errors import ALERT_NOT_FOUND, CONFLICT, DUPLICATE_ALERT, VALIDATION

AlertStatus = Literal["new", "triaged", "investigating", "escalated", "resolved", "false_positive"]
AlertId = Annotated[str, Meta(pattern=r"^ALRT-\d{4}-\d{6,}$")]
Name = Annotated[str, Meta(min_length=1, max_length=256)]


class AlertEvidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A pointer to a stored event and why it counts. `log_id` is the id of a LogEvent."""

    log_id: str
    rule_id: str | None = None
    timestamp: datetime | None = None
    message: str | None = None


class Alert(msgspec.Struct, kw_only=True):
    """One alert. `count` is how often its identity (source, type, source_ref) was seen; `evidence` keeps the
    first 100 of them. `entities` maps a kind (host, user, process, source_ip) to its value."""

    id: str
    title: str
    description: str
    severity: Severity
    status: AlertStatus
    source: str
    type: str
    source_ref: str
    rule_id: str | None
    mitre_techniques: list[str]
    observables: list[Observable]
    entities: dict[str, str]
    evidence: list[AlertEvidence]
    count: int
    first_seen: datetime
    last_seen: datetime
    created_at: datetime
    updated_at: datetime
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    case_id: str | None
    investigation_id: str | None


class AlertCreate(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A new alert by API. Without `source_ref` the alert is its own identity and is never a duplicate."""

    title: ShortText
    description: LongText = ""
    severity: Severity = "medium"
    source: Name = "api"
    type: Name = "manual"
    source_ref: Annotated[str, Meta(min_length=1, max_length=512)] | None = None
    rule_id: Name | None = None
    mitre_techniques: Annotated[list[TechniqueId], Meta(max_length=100)] = []
    observables: Annotated[list[Observable], Meta(max_length=1000)] = []
    entities: Annotated[dict[str, Annotated[str, Meta(max_length=1024)]], Meta(max_length=50)] = {}
    evidence: Annotated[list[AlertEvidence], Meta(max_length=100)] = []


class AlertUpdate(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Only the fields sent are changed."""

    title: ShortText | UnsetType = UNSET
    description: LongText | UnsetType = UNSET
    severity: Severity | UnsetType = UNSET
    status: AlertStatus | UnsetType = UNSET


class AlertAcknowledge(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Nothing is asked for: who and when come from the request."""


class AlertQuery(PageQuery, forbid_unknown_fields=True, kw_only=True):
    """Filters; all given ones must hold. `since` and `until` bound `last_seen`; `q` searches titles."""

    severity: Severity | None = None
    status: AlertStatus | None = None
    source: Name | None = None
    rule_id: Name | None = None
    host: Name | None = None
    q: Annotated[str, Meta(max_length=256)] | None = None
    since: datetime | None = None
    until: datetime | None = None


class AlertChanged(msgspec.Struct):
    """The alert as it is after the change; `changed` names what the writer touched."""

    alert: Alert
    changed: list[str]


LIST_ALERTS = Endpoint(
    "GET",
    "/api/v1/alerts",
    ALERTS_READ,
    service="siem",
    summary="List alerts",
    query=AlertQuery,
    returns=Page[Alert],
    errors=(VALIDATION,),
    tag="Alerts",
)
CREATE_ALERT = Endpoint(
    "POST",
    "/api/v1/alerts",
    ALERTS_WRITE,
    service="siem",
    summary="Create alert",
    body=AlertCreate,
    returns=Alert,
    status=201,
    errors=(VALIDATION, DUPLICATE_ALERT),
    tag="Alerts",
)
GET_ALERT = Endpoint(
    "GET",
    "/api/v1/alerts/{alert_id}",
    ALERTS_READ,
    service="siem",
    summary="Get alert detail",
    returns=Alert,
    errors=(ALERT_NOT_FOUND,),
    tag="Alerts",
)
UPDATE_ALERT = Endpoint(
    "PATCH",
    "/api/v1/alerts/{alert_id}",
    ALERTS_WRITE,
    service="siem",
    summary="Update alert",
    body=AlertUpdate,
    returns=Alert,
    errors=(ALERT_NOT_FOUND, VALIDATION, CONFLICT),
    tag="Alerts",
)
ACKNOWLEDGE_ALERT = Endpoint(
    "POST",
    "/api/v1/alerts/{alert_id}/acknowledge",
    ALERTS_WRITE,
    service="siem",
    summary="Acknowledge alert",
    body=AlertAcknowledge,
    returns=Alert,
    errors=(ALERT_NOT_FOUND, VALIDATION, CONFLICT),
    tag="Alerts",
)

ALERT_CREATED = Topic("aurora.alerts.created", AlertChanged, "A new alert")
ALERT_UPDATED = Topic("aurora.alerts.updated", AlertChanged, "An alert changed or was seen again")
