"""How an investigation is planned and how its evidence is merged. Pure: no I/O, no clock, no model.

The plan goes in waves: triage first; then whoever the alert and triage's findings call for. The merge adds the
specialists' votes as log-odds by the stated weights, so the same assessments always give the same verdict.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from shared.contracts.agents import AGENT_IDS, AnalyzeThreat, Assessment
from shared.contracts.common import SEVERITIES, Observable, Severity, Verdict
from shared.contracts.investigations import Citation, Finding

#: How much a specialist's vote counts. The endpoint analyst sees what really ran, so its word weighs most.
WEIGHTS: Mapping[str, float] = {"triage": 1.0, "endpoint_analyst": 1.5, "threat_intel": 1.0}
#: Combined probability of malice from which (or, for benign, up to which) a verdict is given.
MALICIOUS_FROM = 0.85
SUSPICIOUS_FROM = 0.6
BENIGN_UP_TO = 0.3
_MAX_IOCS = 200
_SUMMARY_FINDINGS = 3


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A specialist to ask, and what."""

    agent: str
    params: AnalyzeThreat


@dataclass(slots=True)
class Outcome:
    """What an investigation found. `contradicted`: some specialists said malicious and others benign."""

    severity: Severity | None
    confidence: float | None
    verdict: Verdict | None
    summary: str
    contradicted: bool = False
    mitre_techniques: list[str] = field(default_factory=list)
    iocs: list[Observable] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)
    ruled_out: list[str] = field(default_factory=list)
    not_checked: list[str] = field(default_factory=list)


def next_wave(
    alert_id: str, asked: Mapping[str, Assessment | None], chosen: Collection[str], available: Collection[str]
) -> list[PlannedCall]:
    """Who is asked next; empty when the plan is done.

    `asked` maps every specialist of the earlier waves to its assessment, None when it failed. `chosen` limits the
    plan to these specialists (empty: all); `available` are those that exist.
    """
    allowed = [agent for agent in AGENT_IDS if agent in available and (not chosen or agent in chosen)]
    if not asked:
        first = "triage" if "triage" in allowed else (allowed[0] if allowed else None)
        return [] if first is None else [PlannedCall(first, AnalyzeThreat(alert_id=alert_id))]
    iocs = _iocs(assessment for assessment in asked.values() if assessment is not None)
    waiting = [agent for agent in allowed if agent not in asked]
    return [PlannedCall(agent, AnalyzeThreat(alert_id=alert_id, iocs=iocs)) for agent in waiting]


def merge(assessments: Mapping[str, Assessment], failures: Mapping[str, str]) -> Outcome:
    """The verdict of all assessments. `failures` maps a specialist that gave none to the reason.

    A finding without a citation that its specialist also delivered is dropped.
    """
    not_checked = [f"{agent}: {reason}" for agent, reason in failures.items()]
    if not assessments:
        return Outcome(None, None, None, "No specialist could be asked", not_checked=not_checked)
    probability = _combined(assessments)
    verdict = _verdict(probability, any(item.verdict != "undetermined" for item in assessments.values()))
    citations = _citations(assessments.values())
    findings = _findings(assessments.values(), {citation.id for citation in citations})
    verdicts = {item.verdict for item in assessments.values()}
    return Outcome(
        severity=_severity(verdict, assessments.values()),
        confidence=_confidence(verdict, probability),
        verdict=verdict,
        summary=_summary(verdict, findings),
        contradicted={"malicious", "benign"} <= verdicts,
        mitre_techniques=_unique(
            technique
            for item in assessments.values()
            if item.verdict in ("malicious", "suspicious")
            for technique in item.mitre_techniques
        ),
        iocs=_iocs(assessments.values()),
        findings=findings,
        citations=citations,
        ruled_out=_unique(text for item in assessments.values() for text in item.ruled_out),
        not_checked=_unique([*not_checked, *(text for item in assessments.values() for text in item.not_checked)]),
    )


def _vote(assessment: Assessment) -> float:
    """The probability of malice that one specialist's verdict and confidence say; 0.5 says nothing."""
    half = assessment.confidence / 2
    if assessment.verdict == "malicious":
        return 0.5 + half
    if assessment.verdict == "suspicious":
        return 0.5 + half / 2
    if assessment.verdict == "benign":
        return 0.5 - half
    return 0.5


def _combined(assessments: Mapping[str, Assessment]) -> float:
    odds = 0.0
    for agent, assessment in assessments.items():
        vote = min(max(_vote(assessment), 0.02), 0.98)
        odds += WEIGHTS.get(agent, 1.0) * math.log(vote / (1 - vote))
    return round(min(max(1 / (1 + math.exp(-odds)), 0.01), 0.99), 4)


def _verdict(probability: float, voted: bool) -> Verdict:
    if not voted:
        return "undetermined"
    if probability >= MALICIOUS_FROM:
        return "malicious"
    if probability >= SUSPICIOUS_FROM:
        return "suspicious"
    return "benign" if probability <= BENIGN_UP_TO else "undetermined"


def _confidence(verdict: Verdict, probability: float) -> float:
    if verdict == "benign":
        return round(1 - probability, 4)
    if verdict == "undetermined":
        return round(abs(probability - 0.5) * 2, 4)
    return probability


def _severity(verdict: Verdict, assessments: Iterable[Assessment]) -> Severity:
    if verdict == "benign":
        return "info"
    voters = [item for item in assessments if item.verdict != "benign"]
    return max((item.severity for item in voters), key=SEVERITIES.index, default="low")


def _citations(assessments: Iterable[Assessment]) -> list[Citation]:
    found = {citation.id: citation for item in assessments for citation in item.citations}
    return list(found.values())


def _findings(assessments: Iterable[Assessment], known: set[str]) -> list[Finding]:
    cited = [finding for item in assessments for finding in item.findings if finding.citations]
    carried = [finding for finding in cited if known.issuperset(finding.citations)]
    return sorted(carried, key=lambda finding: -finding.confidence)


def _iocs(assessments: Iterable[Assessment]) -> list[Observable]:
    return list(dict.fromkeys(ioc for item in assessments for ioc in item.iocs))[:_MAX_IOCS]


def _unique(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _summary(verdict: Verdict, findings: Sequence[Finding]) -> str:
    claims = "; ".join(_unique(finding.claim for finding in findings)[:_SUMMARY_FINDINGS])
    return f"{verdict.capitalize()}: {claims}" if claims else f"{verdict.capitalize()}: no finding"
