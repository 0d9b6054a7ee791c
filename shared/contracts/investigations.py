"""Investigations: shape, endpoints (SOC page, "Investigations") and events (DECISIONS, "Shapes")."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from shared.contracts.alerts import AlertId
from shared.contracts.claims import Citation, Finding
from shared.contracts.common import (
    LongText,
    Observable,
    Page,
    PageQuery,
    Severity,
    Verdict,
)
from shared.contracts.constants import INVESTIGATIONS_READ, INVESTIGATIONS_WRITE, Endpoint, Topic
from shared.errors import (
    AGENT_NOT_FOUND,
    ALERT_NOT_FOUND,
    CONFLICT,
    DEADLINE_EXCEEDED,
    NOT_FOUND,
    UNAVAILABLE,
    VALIDATION,
)

__all__ = ["Citation", "Finding"]  # beside what is declared here: investigations are made of them

InvestigationStatus = Literal["queued", "running", "review_required", "completed", "failed", "cancelled"]
StepStatus = Literal["pending", "running", "completed", "failed", "skipped"]


class Step(msgspec.Struct, kw_only=True):
    """One call to one specialist. `error` is an AURORA code and sentence, null when it went well."""

    id: str
    agent: str
    method: str
    status: StepStatus
    started_at: datetime | None
    finished_at: datetime | None
    error: str | None


class Investigation(msgspec.Struct, kw_only=True):
    """One investigation. Severity, confidence and verdict are null until there is a verdict."""

    id: str
    alert_ids: list[str]
    status: InvestigationStatus
    severity: Severity | None
    confidence: float | None
    verdict: Verdict | None
    mitre_techniques: list[str]
    iocs: list[Observable]
    summary: str
    findings: list[Finding]
    citations: list[Citation]
    ruled_out: list[str]
    not_checked: list[str]
    steps: list[Step]
    created_at: datetime
    completed_at: datetime | None


class InvestigationQuery(PageQuery, forbid_unknown_fields=True, kw_only=True):
    """Filters; all given ones must hold."""

    status: InvestigationStatus | None = None
    verdict: Verdict | None = None
    alert_id: AlertId | None = None


class InvestigateRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Investigate an alert now. `agents` limits the specialists, empty = the planner chooses."""

    alert_id: AlertId
    agents: Annotated[list[str], Meta(max_length=12)] = []
    reason: LongText = ""


class DispatchRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One HandoffTool call to one specialist, outside an investigation."""

    agent: Annotated[str, Meta(min_length=1, max_length=64)]
    method: Annotated[str, Meta(min_length=1, max_length=128)] = "analyze_threat"
    params: dict[str, Any]
    reason: LongText = ""
    timeout_seconds: Annotated[float, Meta(gt=0, le=300)] = 60.0


class DispatchRecord(msgspec.Struct, kw_only=True):
    """One handoff: who asked, what was called, what came back. `result` is null unless completed."""

    id: str
    agent: str
    method: str
    params: dict[str, Any]
    reason: str
    status: StepStatus
    requested_by: str
    investigation_id: str | None
    started_at: datetime
    finished_at: datetime | None
    result: Any
    error: str | None


class DispatchQuery(PageQuery, forbid_unknown_fields=True, kw_only=True):
    """Filters of the dispatch history."""

    agent: Annotated[str, Meta(max_length=64)] | None = None
    status: StepStatus | None = None


class InvestigationChanged(msgspec.Struct):
    """The investigation as it is after the change."""

    investigation: Investigation


LIST_INVESTIGATIONS = Endpoint(
    "GET",
    "/api/v1/investigations",
    INVESTIGATIONS_READ,
    service="orchestrator",
    summary="List investigations",
    query=InvestigationQuery,
    returns=Page[Investigation],
    errors=(VALIDATION,),
    tag="Investigations",
)
GET_INVESTIGATION = Endpoint(
    "GET",
    "/api/v1/investigations/{investigation_id}",
    INVESTIGATIONS_READ,
    service="orchestrator",
    summary="Investigation detail",
    returns=Investigation,
    errors=(NOT_FOUND,),
    tag="Investigations",
)
INVESTIGATE = Endpoint(
    "POST",
    "/api/v1/agents/investigate",
    INVESTIGATIONS_WRITE,
    service="orchestrator",
    summary="Dispatch investigation",
    body=InvestigateRequest,
    returns=Investigation,
    status=202,
    errors=(VALIDATION, ALERT_NOT_FOUND, AGENT_NOT_FOUND, CONFLICT, UNAVAILABLE),
    tag="Investigations",
)
DISPATCH = Endpoint(
    "POST",
    "/api/v1/orchestrator/dispatch",
    INVESTIGATIONS_WRITE,
    service="orchestrator",
    summary="Orchestrator dispatch",
    body=DispatchRequest,
    returns=DispatchRecord,
    errors=(VALIDATION, AGENT_NOT_FOUND, UNAVAILABLE, DEADLINE_EXCEEDED),
    tag="Investigations",
    # The request may ask for 300 s itself.
    timeout_seconds=310.0,
)
LIST_DISPATCHES = Endpoint(
    "GET",
    "/api/v1/orchestrator/history",
    INVESTIGATIONS_READ,
    service="orchestrator",
    summary="Dispatch history",
    query=DispatchQuery,
    returns=Page[DispatchRecord],
    errors=(VALIDATION,),
    tag="Investigations",
)

INVESTIGATION_CREATED = Topic("aurora.investigations.created", InvestigationChanged, "An investigation was queued")
INVESTIGATION_COMPLETED = Topic(
    "aurora.investigations.completed",
    InvestigationChanged,
    "An investigation reached its end (completed, failed, cancelled or review_required): the receipt",
)
