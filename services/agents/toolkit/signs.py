"""Signs and what they add up to: the one scale on which every specialist judges. Pure.

A sign is an observation that a citation carries, with a weight (0..1) for how strongly it speaks of an attack. Signs
of different kinds are taken as independent, so they add up as 1 - product(1 - weight); a kind counts once, however
often it is seen. What administrators also do (below WEAK_BELOW) may add up to a suspicion, never to more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.agents.toolkit.behaviours import combined_weight
from shared.contracts.common import Severity, Verdict
from shared.contracts.investigations import Citation

MALICIOUS_FROM = 0.8
SUSPICIOUS_FROM = 0.5
BENIGN_BELOW = 0.3
WEAK_BELOW = 0.5
_WEAK_TOTAL = 0.6


@dataclass(frozen=True, slots=True)
class Sign:
    """One observation of a `kind`. `claim` may quote untrusted text, fenced."""

    kind: str
    claim: str
    weight: float
    techniques: tuple[str, ...]
    citation: Citation


def score(signs: Sequence[Sign]) -> float:
    """What the signs add up to, 0..1."""
    strongest: dict[str, float] = {}
    for sign in signs:
        strongest[sign.kind] = max(strongest.get(sign.kind, 0.0), sign.weight)
    weak = min(combined_weight(weight for weight in strongest.values() if weight < WEAK_BELOW), _WEAK_TOTAL)
    return combined_weight([weak, *(weight for weight in strongest.values() if weight >= WEAK_BELOW)])


def verdict_of(total: float) -> tuple[Verdict, float]:
    """The verdict of a score, and the confidence in it."""
    if total >= MALICIOUS_FROM:
        return "malicious", round(min(total, 0.97), 4)
    if total >= SUSPICIOUS_FROM:
        return "suspicious", round(total, 4)
    if total < BENIGN_BELOW:
        return "benign", round(0.7 - total, 4)
    return "undetermined", round(total, 4)


def severity_of(verdict: Verdict, total: float, alert: Severity) -> Severity:
    """How bad it is: at least what the rule said when it is malicious, never more than low when it is benign."""
    if verdict == "benign":
        return "info"
    if verdict == "undetermined":
        return alert
    if verdict == "malicious":
        return "critical" if alert == "critical" or total >= 0.99 else "high"
    return "medium" if alert in ("info", "low", "medium") else alert


def techniques_of(signs: Sequence[Sign]) -> list[str]:
    """Every technique that a sign shows, each once, strongest sign first."""
    ordered = sorted(signs, key=lambda sign: -sign.weight)
    return list(dict.fromkeys(technique for sign in ordered for technique in sign.techniques))
