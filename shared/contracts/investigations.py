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
from shared.contracts.reports import Report
from shared.contracts.responses import ResponsePlan
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
    """One call to one specialist. `error` is an AURORA code and sentence, or why it was left out; null when it went
    well. `round` counts how often the investigation went on for alerts that came later, from 1."""

    id: str
    agent: str
    method: str
    status: StepStatus
    started_at: datetime | None
    finished_at: datetime | None
    error: str | None
    round: int = 1


class Contradiction(msgspec.Struct, kw_only=True):
    """Specialists who disagree about the same alerts, and what each of them says, in the same order."""

    agents: list[str]
    claims: list[str]


class Decision(msgspec.Struct, kw_only=True):
    """What somebody decided about an investigation, when and why."""

    action: Literal["park", "resume", "cancel"]
    by: str
    at: datetime
    reason: str


class Investigation(msgspec.Struct, kw_only=True):
    """One investigation. Severity, confidence and verdict are null until there is a verdict; while it runs on they are
    the verdict so far.

    `alert_ids` grows while related alerts join it, and `round` counts how often it went on for them. `priority` is 0
    to 9: twice the severity of its worst alert (info 0, critical 4), and one more when somebody asked for it.
    `position` is its place in the queue, from 1, and `estimate_seconds` the time until its verdict; both null unless it
    waits, the latter also when nothing lately ended. A parked one is queued, with `parked_at`."""

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
    first_verdict_at: datetime | None = None
    round: int = 0
    priority: int = 0
    position: int | None = None
    estimate_seconds: float | None = None
    parked_at: datetime | None = None
    parked_by: str | None = None
    decisions: list[Decision] = []
    contradictions: list[Contradiction] = []
    plan: ResponsePlan | None = None
    report: Report | None = None


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
    round: int = 1


class DispatchQuery(PageQuery, forbid_unknown_fields=True, kw_only=True):
    """Filters of the dispatch history."""

    agent: Annotated[str, Meta(max_length=64)] | None = None
    status: StepStatus | None = None


class InvestigationDecision(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Why an investigation is parked, resumed or cancelled."""

    reason: Annotated[str, Meta(max_length=1024)] = ""


class InvestigationChanged(msgspec.Struct):
    """The investigation as it is after the change; `joined` are the alerts that came to it by this change."""

    investigation: Investigation
    joined: list[str] = []


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
PARK_INVESTIGATION = Endpoint(
    "POST",
    "/api/v1/investigations/{investigation_id}/park",
    INVESTIGATIONS_WRITE,
    service="orchestrator",
    summary="Park an investigation: it keeps what it found and waits until it is resumed",
    body=InvestigationDecision,
    returns=Investigation,
    errors=(NOT_FOUND, VALIDATION, CONFLICT),
    tag="Investigations",
)
RESUME_INVESTIGATION = Endpoint(
    "POST",
    "/api/v1/investigations/{investigation_id}/resume",
    INVESTIGATIONS_WRITE,
    service="orchestrator",
    summary="Resume a parked investigation where it was",
    body=InvestigationDecision,
    returns=Investigation,
    errors=(NOT_FOUND, VALIDATION, CONFLICT),
    tag="Investigations",
)
CANCEL_INVESTIGATION = Endpoint(
    "POST",
    "/api/v1/investigations/{investigation_id}/cancel",
    INVESTIGATIONS_WRITE,
    service="orchestrator",
    summary="Cancel an investigation, running handoffs too",
    body=InvestigationDecision,
    returns=Investigation,
    errors=(NOT_FOUND, VALIDATION, CONFLICT),
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
INVESTIGATION_UPDATED = Topic(
    "aurora.investigations.updated",
    InvestigationChanged,
    "An investigation changed before its end: alerts joined it, it was parked or resumed. Without tool results",
)
INVESTIGATION_COMPLETED = Topic(
    "aurora.investigations.completed",
    InvestigationChanged,
    "An investigation reached its end (completed, failed, cancelled or review_required): the receipt",
)
