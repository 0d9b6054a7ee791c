"""How the answers of specialists become one verdict. Pure: no I/O, no clock, no model.

The votes of one round are about the same alerts: independent opinions add up as log-odds by stated weights, opposite
ones cancel. Of rounds about different alerts the worst counts, so that an ordinary alert never takes back what another
one proved; a later look at the same alerts takes the place of an earlier one (looks.py). Suspicions of different rounds
add up only where they stand side by side.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from services.orchestrator.handoffs import Stored
from services.orchestrator.investigations.looks import standing
from services.orchestrator.investigations.rounds import Round, read
from shared.contracts.agents import Assessment
from shared.contracts.claims import Citation, Finding
from shared.contracts.common import SEVERITIES, Observable, Severity, Verdict
from shared.contracts.investigations import Contradiction
from shared.contracts.reports import Report
from shared.contracts.responses import ResponsePlan
from shared.contracts.wire import encode

#: How much a specialist's vote counts. The endpoint analyst sees what really ran, so its word weighs most; what a
#: hunter or a forensic analyst finds rests on what others found first; plans and reports are no opinion.
WEIGHTS: Mapping[str, float] = {
    "triage": 1.0,
    "threat_intel": 1.0,
    "threat_hunter": 0.7,
    "endpoint_analyst": 1.5,
    "malware_analyst": 1.5,
    "network_analyst": 1.0,
    "identity_analyst": 1.2,
    "cloud_analyst": 1.2,
    "forensic_analyst": 0.7,
    "vulnerability_analyst": 0.8,
    "incident_responder": 0.0,
    "report_writer": 0.0,
}
#: Combined probability of malice from which (or, for benign, up to which) a verdict is given.
MALICIOUS_FROM = 0.8
SUSPICIOUS_FROM = 0.6
BENIGN_UP_TO = 0.3
_MAX_IOCS = 200
_MAX_FINDINGS = 400
_MAX_NOTES = 400
_SUMMARY_FINDINGS = 3
#: Tool results that an investigation carries, in bytes: its event must fit one message with room to spare.
_MAX_CITATION_BYTES = 4 * 1024 * 1024


@dataclass(slots=True)
class Outcome:
    """What an investigation found. `contradicted`: in one round some said malicious and others benign."""

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
    contradictions: list[Contradiction] = field(default_factory=list)
    plan: ResponsePlan | None = None
    report: Report | None = None


def outcome_of(steps: Sequence[Stored]) -> Outcome:
    """What the stored steps of an investigation come to."""
    return merge(read(steps))


def merge(known: Sequence[Round]) -> Outcome:
    """The verdict of all rounds that count. A finding without a citation that its specialist also delivered is
    dropped."""
    rounds = standing(known)
    failures = [f"{agent}: {reason}" for item in rounds for agent, reason in item.failures.items()]
    votes = [item.assessments for item in rounds if item.assessments]
    if not votes:
        return Outcome(None, None, None, "No specialist could be asked", not_checked=_unique(failures))
    everyone = [assessment for assessments in votes for assessment in assessments.values()]
    probability = _probability(votes)
    verdict = _verdict(probability, any(item.verdict != "undetermined" for item in everyone))
    findings = _findings(everyone)
    plan = _plan(verdict, known)
    citations = _citations([*everyone, *([plan] if plan else [])], findings)
    carried = {citation.id for citation in citations}
    findings = [finding for finding in findings if carried.issuperset(finding.citations)]
    return Outcome(
        severity=_severity(verdict, everyone),
        confidence=_confidence(verdict, probability),
        verdict=verdict,
        summary=_summary(verdict, findings),
        contradicted=any(_opposed(assessments) for assessments in votes),
        mitre_techniques=_unique(
            technique
            for item in everyone
            if item.verdict in ("malicious", "suspicious")
            for technique in item.mitre_techniques
        ),
        iocs=iocs_of(everyone),
        findings=findings,
        citations=citations,
        ruled_out=_unique(text for item in everyone for text in item.ruled_out)[:_MAX_NOTES],
        not_checked=_unique([*failures, *(text for item in everyone for text in item.not_checked)])[:_MAX_NOTES],
        contradictions=[_contradiction(assessments) for assessments in votes if _opposed(assessments)],
        plan=plan,
        report=known[-1].report,
    )


def _plan(verdict: Verdict, known: Sequence[Round]) -> ResponsePlan | None:
    """The newest plan; none where nothing calls for one any more."""
    plans = [item.plan for item in known if item.plan is not None]
    return plans[-1] if plans and verdict in ("malicious", "suspicious") else None


def iocs_of(assessments: Iterable[Assessment]) -> list[Observable]:
    """The indicators of all answers, each once, in the order of the answers."""
    return list(dict.fromkeys(ioc for item in assessments for ioc in item.iocs))[:_MAX_IOCS]


def raised(outcome: Outcome, opinion: Severity | None) -> Outcome:
    """The outcome with the severity that somebody else thinks it has, if that is higher: never lower, nothing else."""
    if opinion is not None and outcome.severity is not None and outcome.verdict != "benign":
        outcome.severity = max(outcome.severity, opinion, key=SEVERITIES.index)
    return outcome


def log_odds(agent: str, assessment: Assessment) -> float:
    """One specialist's weighted vote; 0 says nothing, more than 0 that it is an attack."""
    half = assessment.confidence / 2
    vote = 0.5
    if assessment.verdict == "malicious":
        vote += half
    elif assessment.verdict == "suspicious":
        vote += half / 2
    elif assessment.verdict == "benign":
        vote -= half
    vote = min(max(vote, 0.02), 0.98)
    return WEIGHTS.get(agent, 1.0) * math.log(vote / (1 - vote))


def _probability(rounds: Sequence[Mapping[str, Assessment]]) -> float:
    """The most that any round says: on its own, or with the standing word of those who weren't asked in it."""
    odds: list[float] = []
    standing: dict[str, float] = {}
    for assessments in rounds:
        votes = {agent: log_odds(agent, assessment) for agent, assessment in assessments.items()}
        # Who is asked again sees the earlier alerts too: its new word takes the place of the old one.
        standing |= votes
        odds += [sum(votes.values()), sum(standing.values())]
    return round(min(max(1 / (1 + math.exp(-max(odds))), 0.01), 0.99), 4)


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


def _opposed(assessments: Mapping[str, Assessment]) -> bool:
    return {"malicious", "benign"} <= {item.verdict for item in assessments.values()}


def _contradiction(assessments: Mapping[str, Assessment]) -> Contradiction:
    """Who says that it is an attack, then who says that it is ordinary, each in a sentence."""
    order = ("malicious", "suspicious", "benign")
    voters = sorted(
        (agent for agent, item in assessments.items() if item.verdict in order),
        key=lambda agent: (order.index(assessments[agent].verdict), -assessments[agent].confidence, agent),
    )
    return Contradiction(agents=voters, claims=[_claim(assessments[agent]) for agent in voters])


def _claim(assessment: Assessment) -> str:
    said = f"{assessment.verdict} ({assessment.confidence:.2f})"
    return f"{said}: {assessment.summary}" if assessment.summary else said


def _citations(answers: Iterable[Assessment | ResponsePlan], findings: Iterable[Finding]) -> list[Citation]:
    """The tool results, each once; where they are too many to carry, those that findings cite come first."""
    found = {citation.id: citation for item in answers for citation in item.citations}
    cited = dict.fromkeys(name for finding in findings for name in finding.citations)
    room = _MAX_CITATION_BYTES
    kept: set[str] = set()
    for name in [*cited, *(name for name in found if name not in cited)]:
        room -= len(encode(found[name]))
        if room < 0:
            break
        kept.add(name)
    return [citation for name, citation in found.items() if name in kept]


def _findings(assessments: Iterable[Assessment]) -> list[Finding]:
    """Each claim of a specialist once, with all that carries it; the surest first."""
    found: dict[tuple[str, str], Finding] = {}
    for item in assessments:
        known = {citation.id for citation in item.citations}
        for finding in item.findings:
            if not finding.citations or not known.issuperset(finding.citations):
                continue
            before = found.get((finding.agent, finding.claim))
            found[finding.agent, finding.claim] = finding if before is None else _together(before, finding)
    return sorted(found.values(), key=lambda finding: -finding.confidence)[:_MAX_FINDINGS]


def _together(one: Finding, other: Finding) -> Finding:
    return Finding(
        agent=one.agent,
        claim=one.claim,
        confidence=max(one.confidence, other.confidence),
        citations=_unique([*one.citations, *other.citations]),
    )


def _unique(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _summary(verdict: Verdict, findings: Sequence[Finding]) -> str:
    claims = "; ".join(_unique(finding.claim for finding in findings)[:_SUMMARY_FINDINGS])
    return f"{verdict.capitalize()}: {claims}" if claims else f"{verdict.capitalize()}: no finding"
