"""Response plans: what an operator may do about an attack, step by step. A plan is text for people to approve; nothing
here carries anything out (SOC page, "incident_responder")."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from shared.contracts.claims import Citation, Finding, Prior, Refusal
from shared.contracts.common import Observable, Severity, Verdict
from shared.contracts.constants import Method

Phase = Literal["containment", "eradication", "recovery"]
#: How much harm the step itself may do.
Risk = Literal["low", "medium", "high"]


class ResponseRequest(msgspec.Struct, kw_only=True):
    """Params of `plan_response`: what an investigation knows when it asks for a plan.

    `entities` are the alerts' (type host, user, process, source_ip, ...); `related` further alerts of the same
    investigation. A step is only planned for what was seen in evidence that is cited."""

    alert_id: Annotated[str, Meta(max_length=64)]
    related: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=50)] = []
    verdict: Verdict
    severity: Severity
    entities: Annotated[list[Observable], Meta(max_length=200)] = []
    iocs: Annotated[list[Observable], Meta(max_length=200)] = []
    mitre_techniques: Annotated[list[str], Meta(max_length=200)] = []
    findings: Annotated[list[Finding], Meta(max_length=400)] = []
    prior: Annotated[list[Prior], Meta(max_length=12)] = []


class ResponseStep(msgspec.Struct, kw_only=True):
    """One step. `action` names its kind (`isolate_host`), `title` says it to people. `command` is text for an operator,
    with the target quoted for the shell it is meant for; empty where there is nothing to run. `undo` says how it is
    taken back. No step runs without approval."""

    id: str
    phase: Phase
    action: str
    title: str
    target: Observable
    rationale: str
    risk: Risk
    risk_text: str
    precondition: str
    command: str
    undo: str
    requires_approval: bool = True
    citations: list[str]


class ResponsePlan(msgspec.Struct, kw_only=True):
    """Result of `plan_response`: steps in the order in which they are to be taken, and what was left out and why."""

    steps: list[ResponseStep]
    not_planned: list[str] = []
    citations: list[Citation] = []
    refused: list[Refusal] = []


PLAN_RESPONSE = Method(
    "plan_response", ResponseRequest, ResponsePlan, "Plan containment, eradication and recovery, for approval"
)
