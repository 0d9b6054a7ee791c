"""What those hear who come after the votes: the others' word, the request for a plan, the request for a report. Pure.

Everything is cut to what the contracts and one frame of 1 MiB allow, so that a long investigation ends like a short
one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from services.orchestrator.handoffs import Stored
from services.orchestrator.investigations.looks import standing
from services.orchestrator.investigations.merging import Outcome, log_odds
from services.orchestrator.investigations.rounds import Round
from services.orchestrator.investigations.subject import Subject
from shared.contracts.agents import ANALYZE_THREAT, Assessment
from shared.contracts.claims import Prior
from shared.contracts.common import Observable
from shared.contracts.reports import (
    CitedResult,
    ReportedAlert,
    ReportedContradiction,
    ReportedStep,
    ReportRequest,
)
from shared.contracts.responses import ResponseRequest
from shared.contracts.wire import encode

_PRIORS = 12
_PRIOR_FINDINGS = 40
_PRIOR_NOTES = 20
_LIST = 200
_RELATED = 49
_FINDINGS = 400
_LINE = 500
_CITATIONS = 1000
#: How many findings and notes a report is asked for with, and how many of each step: the first that fits.
_SHARES = ((400, 50), (200, 10), (60, 2))
_MOST_BYTES = 800 * 1024
_ENTITY = 1024
_ENTITY_KIND = 64


def priors(known: Sequence[Round]) -> list[Prior]:
    """The worst that each specialist said in a round that counts, without the tool results."""
    said: dict[str, Assessment] = {}
    for agent, answer in (pair for item in standing(known) for pair in item.assessments.items()):
        if agent not in said or log_odds(agent, answer) > log_odds(agent, said[agent]):
            said[agent] = answer
    return [
        Prior(
            agent=agent,
            verdict=answer.verdict,
            severity=answer.severity,
            confidence=answer.confidence,
            mitre_techniques=answer.mitre_techniques[:_LIST],
            iocs=answer.iocs[:_LIST],
            findings=sorted(answer.findings, key=lambda finding: -finding.confidence)[:_PRIOR_FINDINGS],
            ruled_out=_lines(answer.ruled_out, _PRIOR_NOTES),
            not_checked=_lines(answer.not_checked, _PRIOR_NOTES),
        )
        for agent, answer in list(said.items())[:_PRIORS]
    ]


def response_request(
    subjects: Sequence[Subject],
    outcome: Outcome,
    prior: Sequence[Prior],
) -> ResponseRequest:
    """What `plan_response` is asked with, about alerts of which the first is the worst. Raises ValueError without a
    verdict."""
    if outcome.verdict is None or outcome.severity is None:
        raise ValueError("a plan needs a verdict")
    return ResponseRequest(
        alert_id=subjects[0].id,
        related=[subject.id for subject in subjects[1:]][:_RELATED],
        verdict=outcome.verdict,
        severity=outcome.severity,
        entities=_entities(subjects),
        iocs=outcome.iocs[:_LIST],
        mitre_techniques=outcome.mitre_techniques[:_LIST],
        findings=outcome.findings[:_FINDINGS],
        prior=list(prior),
    )


def report_request(
    identifier: str, subjects: Sequence[Subject], outcome: Outcome, steps: Sequence[Stored]
) -> ReportRequest:
    """What `write_report` is asked with, as much of it as fits. Raises ValueError without a verdict."""
    requests = (_request(identifier, subjects, outcome, steps, most, of_step) for most, of_step in _SHARES)
    request = next(requests)
    while len(encode(request)) > _MOST_BYTES and (smaller := next(requests, None)) is not None:
        request = smaller
    return request


def _request(
    identifier: str, subjects: Sequence[Subject], outcome: Outcome, steps: Sequence[Stored], most: int, of_step: int
) -> ReportRequest:
    if outcome.verdict is None or outcome.severity is None or outcome.confidence is None:
        raise ValueError("a report needs a verdict")
    cited = [
        CitedResult(id=item.id, agent=item.agent, tool=item.tool, executed_at=item.executed_at)
        for item in outcome.citations[:_CITATIONS]
    ]
    contradictions = [ReportedContradiction(agents=item.agents, claims=item.claims) for item in outcome.contradictions]
    return ReportRequest(
        investigation_id=identifier,
        alert_ids=[subject.id for subject in subjects],
        verdict=outcome.verdict,
        severity=outcome.severity,
        confidence=outcome.confidence,
        mitre_techniques=outcome.mitre_techniques[:_LIST],
        iocs=outcome.iocs[:_LIST],
        findings=outcome.findings[:most],
        citations=cited,
        alerts=[told for subject in subjects if (told := _alert(subject)) is not None],
        steps=[_step(step, of_step) for step in steps][:_LIST],
        ruled_out=_lines(outcome.ruled_out, most),
        not_checked=_lines(outcome.not_checked, most),
        contradictions=contradictions,
        # The results that it rests on are named among the citations.
        plan=None if outcome.plan is None else msgspec.structs.replace(outcome.plan, citations=[]),
    )


def _entities(subjects: Iterable[Subject]) -> list[Observable]:
    named = (
        Observable(kind[:_ENTITY_KIND], value[:_ENTITY])
        for subject in subjects
        for kind, value in subject.entities.items()
        if kind and value
    )
    return list(dict.fromkeys(named))[:_LIST]


def _alert(subject: Subject) -> ReportedAlert | None:
    if subject.first_seen is None or subject.last_seen is None:
        return None
    return ReportedAlert(
        id=subject.id,
        title=subject.title,
        severity=subject.severity,
        entities=subject.entities,
        count=subject.count,
        first_seen=subject.first_seen,
        last_seen=subject.last_seen,
    )


def _step(step: Stored, most: int) -> ReportedStep:
    record = step.record
    voted = record.method == ANALYZE_THREAT.name and record.status == "completed"
    answer = msgspec.convert(record.result, Assessment) if voted else None
    return ReportedStep(
        id=record.id,
        agent=record.agent,
        method=record.method,
        status=record.status,
        error=record.error,
        verdict=None if answer is None else answer.verdict,
        confidence=None if answer is None else answer.confidence,
        mitre_techniques=[] if answer is None else answer.mitre_techniques[:most],
        iocs=[] if answer is None else answer.iocs[:most],
        ruled_out=[] if answer is None else _lines(answer.ruled_out, most),
        not_checked=[] if answer is None else _lines(answer.not_checked, most),
    )


def _lines(lines: Sequence[str], most: int) -> list[str]:
    return [line[:_LINE] for line in lines[:most]]
