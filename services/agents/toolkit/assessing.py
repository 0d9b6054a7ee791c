"""From signs to an Assessment: findings are the strongest signs, verdict and severity follow from their sum."""

from __future__ import annotations

from collections.abc import Sequence

from services.agents.toolkit.signs import Sign, score, severity_of, techniques_of, verdict_of
from services.agents.toolkit.work import Work
from shared.contracts.agents import Assessment
from shared.contracts.common import Observable, Severity

_MAX_FINDINGS = 12
_MAX_IOCS = 200


async def assess(signs: Sequence[Sign], iocs: Sequence[Observable], level: Severity, work: Work) -> Assessment:
    """`level` is the alert's severity. Without any sign the verdict is benign by as much as was looked at."""
    total = score(signs)
    verdict, confidence = verdict_of(total)
    strongest = sorted(signs, key=lambda sign: -sign.weight)
    for sign in strongest[:_MAX_FINDINGS]:
        await work.find(sign.claim, sign.weight, sign.citation)
    return Assessment(
        severity=severity_of(verdict, total, level),
        confidence=confidence,
        mitre_techniques=techniques_of(signs),
        iocs=list(iocs)[:_MAX_IOCS],
        verdict=verdict,
        summary=strongest[0].claim if strongest else "nothing that speaks of an attack was found",
        findings=work.findings,
        citations=work.citations,
        ruled_out=work.ruled_out,
        not_checked=work.not_checked,
    )


def undetermined(iocs: Sequence[Observable], level: Severity, reason: str, work: Work) -> Assessment:
    """There was nothing this specialist could judge; `reason` says why."""
    work.not_checked.append(reason)
    return Assessment(
        severity=level,
        confidence=0.0,
        mitre_techniques=[],
        iocs=list(iocs)[:_MAX_IOCS],
        verdict="undetermined",
        summary=reason,
        findings=work.findings,
        citations=work.citations,
        ruled_out=work.ruled_out,
        not_checked=work.not_checked,
    )
