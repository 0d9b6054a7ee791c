"""From signs to an Assessment: one finding for each kind of sign, the strongest first; verdict and severity follow."""

from __future__ import annotations

from collections.abc import Sequence

from services.agents.toolkit.signs import Sign, score, severity_of, techniques_of, verdict_of
from services.agents.toolkit.work import Work
from shared.contracts.agents import Assessment
from shared.contracts.common import Observable, Severity
from shared.contracts.investigations import Citation

_MAX_FINDINGS = 12
_MAX_IOCS = 200
_MAX_CITED = 3
_SUMMARY = 3
#: How sure a whole look at an alert is of an ordinary cause when nothing at all speaks against it.
CLEAN = 0.7


async def assess(
    signs: Sequence[Sign], iocs: Sequence[Observable], level: Severity, work: Work, *, clean: float = CLEAN
) -> Assessment:
    """`level` is the alert's severity, `clean` as `verdict_of` says."""
    total = score(signs)
    verdict, confidence = verdict_of(total, clean)
    await _find(signs, work)
    claims = [finding.claim for finding in work.findings[:_SUMMARY]]
    return Assessment(
        severity=severity_of(verdict, signs, level),
        confidence=confidence,
        mitre_techniques=techniques_of([sign for sign in signs if sign.weight > 0]),
        iocs=list(iocs)[:_MAX_IOCS],
        verdict=verdict,
        summary="; ".join(claims) or "nothing that speaks of an attack was found",
        findings=work.findings,
        citations=work.citations,
        ruled_out=work.ruled_out,
        not_checked=work.not_checked,
    )


async def _find(signs: Sequence[Sign], work: Work) -> None:
    """The strongest sign of each kind as a finding, with the citations of its likes."""
    kinds: dict[str, list[Sign]] = {}
    for sign in sorted(signs, key=lambda sign: -sign.weight):
        kinds.setdefault(sign.kind, []).append(sign)
    for alike in list(kinds.values())[:_MAX_FINDINGS]:
        more = len({sign.claim for sign in alike}) - 1
        claim = alike[0].claim + (f" (and {more} more like it)" if more else "")
        cited: dict[str, Citation] = {sign.citation.id: sign.citation for sign in alike}
        await work.find(claim, alike[0].weight, *list(cited.values())[:_MAX_CITED])


async def undetermined(
    signs: Sequence[Sign], iocs: Sequence[Observable], level: Severity, reason: str, work: Work
) -> Assessment:
    """There was nothing this specialist could judge; `reason` says why. Signs, if any, only inform."""
    work.not_checked.append(reason)
    await _find(signs, work)
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
