"""What another specialist's own method answered, as signs of the one that asked. Pure.

The other's word weighs what the other was sure of, once, however many findings it has. It is carried by the record of
the answer and by the results that the answer rests on, so whoever doubts it finds the tool result itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from services.agents.toolkit.handing import Answer
from services.agents.toolkit.signs import Sign
from shared.contracts.claims import Finding
from shared.contracts.common import Verdict

_SHOWN = 3
_CARRIERS = 3


class Judgement(Protocol):
    """What answers that judge have in common."""

    verdict: Verdict
    confidence: float
    mitre_techniques: list[str]
    findings: list[Finding]


def said_signs(kind: str, agent: str, about: str, judged: Judgement, answer: Answer[Any]) -> list[Sign]:
    """One sign for each of the results that carry it, all of one kind; none when the other saw nothing that speaks of
    an attack. `about` may quote untrusted text, fenced."""
    weight = 0.0 if judged.verdict == "benign" else judged.confidence
    claims = [finding.claim for finding in judged.findings if finding.confidence > 0][:_SHOWN]
    if not weight or not claims:
        return []
    claim = f"{agent} on {about}: {'; '.join(claims)}"
    return carried(kind, claim, weight, judged.mitre_techniques, answer)


def carried(kind: str, claim: str, weight: float, techniques: Sequence[str], answer: Answer[Any]) -> list[Sign]:
    """The claim with the record of the answer, and with the first results that the answer rests on."""
    carriers = [answer.citation, *answer.brought][:_CARRIERS]
    return [Sign(kind, claim, weight, tuple(techniques), citation) for citation in carriers]
