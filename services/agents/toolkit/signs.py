"""Signs and what they add up to: the one scale on which every specialist judges. Pure.

A sign is an observation that a citation carries, with a weight (0..1) for how strongly it speaks of an attack. Signs
of different kinds are taken as independent, so they add up as 1 - product(1 - weight); a kind counts once, however
often it is seen. What administrators also do (below WEAK_BELOW) may add up to a suspicion, never to more. The scale and
its limits are measured in docs/adr/0007-evidence-and-verdicts.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from shared.contracts.common import Severity, Verdict
from shared.contracts.investigations import Citation

MALICIOUS_FROM = 0.8
SUSPICIOUS_FROM = 0.5
BENIGN_BELOW = 0.3
WEAK_BELOW = 0.5
_WEAK_TOTAL = 0.6
_CERTAIN = 0.97
_CRITICAL_FROM = 0.99


@dataclass(frozen=True, slots=True)
class Sign:
    """One observation of a `kind`. `claim` may quote untrusted text, fenced. A weight of 0 only informs."""

    kind: str
    claim: str
    weight: float
    techniques: tuple[str, ...]
    citation: Citation


def scaled(signs: Iterable[Sign], factor: float) -> list[Sign]:
    """The same signs at a part of their weight: seen farther from the alert, or ordinary here."""
    return [replace(sign, weight=round(sign.weight * factor, 4)) for sign in signs]


def combined_weight(weights: Iterable[float]) -> float:
    """Independent signs add up: 1 - product of (1 - weight), 0..1."""
    rest = 1.0
    for weight in weights:
        rest *= 1.0 - weight
    return round(1.0 - rest, 4)


def score(signs: Iterable[Sign]) -> float:
    """What the signs add up to, 0..1."""
    strongest: dict[str, float] = {}
    for sign in signs:
        strongest[sign.kind] = max(strongest.get(sign.kind, 0.0), sign.weight)
    weak = min(combined_weight(weight for weight in strongest.values() if weight < WEAK_BELOW), _WEAK_TOTAL)
    return combined_weight([weak, *(weight for weight in strongest.values() if weight >= WEAK_BELOW)])


def verdict_of(total: float, clean: float) -> tuple[Verdict, float]:
    """The verdict of a score, and the confidence in it. `clean` is how sure an observer is of an ordinary cause when it
    saw nothing at all that speaks of an attack; 0 means that its seeing nothing proves nothing."""
    if total >= MALICIOUS_FROM:
        return "malicious", round(min(total, _CERTAIN), 4)
    if total >= SUSPICIOUS_FROM:
        return "suspicious", round(total, 4)
    if total < BENIGN_BELOW and total < clean:
        return "benign", round(clean - total, 4)
    return "undetermined", round(total, 4)


def severity_of(verdict: Verdict, signs: Sequence[Sign], alert: Severity) -> Severity:
    """How bad it is: at least what the rule said when it is malicious, never more than low when it is benign. Only
    strong signs make it critical, so that no trifle beside them does."""
    if verdict == "benign":
        return "info"
    if verdict == "undetermined":
        return alert
    if verdict == "malicious":
        strong = score(sign for sign in signs if sign.weight >= WEAK_BELOW)
        return "critical" if alert == "critical" or strong >= _CRITICAL_FROM else "high"
    return "medium" if alert in ("info", "low", "medium") else alert


def techniques_of(signs: Sequence[Sign]) -> list[str]:
    """Every technique that a sign shows, each once, strongest sign first."""
    ordered = sorted(signs, key=lambda sign: -sign.weight)
    return list(dict.fromkeys(technique for sign in ordered for technique in sign.techniques))
